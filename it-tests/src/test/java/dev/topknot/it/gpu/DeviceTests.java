package dev.topknot.it.gpu;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.topknot.runtime.cuda.Probe;
import java.util.List;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * The tests of generated layers and of a model, which otherwise run on the CPU device and on the
 * emulator, on a GPU: each generated kernel against the reference in double precision.
 */
public final class DeviceTests implements TestExecutionListener {
  private static final List<String> TESTS =
      List.of(
          "dev.topknot.it.numerics.GpuLayerTest",
          "dev.topknot.it.numerics.GpuAdamFactoredTest",
          "dev.topknot.it.numerics.GpuHierarchyTest",
          "dev.topknot.it.numerics.GpuModelTest",
          "dev.topknot.it.numerics.GpuSampledModelTest");

  private final Findings findings;

  private DeviceTests(Findings findings) {
    this.findings = findings;
  }

  /** Whether there is a GPU; without, these tests are not run. */
  public static boolean gpu() {
    return Probe.result().state() == Probe.State.FINE;
  }

  /** Runs them. */
  static void run(Findings findings) {
    LauncherDiscoveryRequestBuilder request = LauncherDiscoveryRequestBuilder.request();
    TESTS.forEach(test -> request.selectors(selectClass(test)));
    LauncherFactory.create().execute(request.build(), new DeviceTests(findings));
  }

  @Override
  public void executionSkipped(TestIdentifier test, String reason) {
    findings.check(test.getDisplayName(), true, String.join(" ", "skipped:", reason));
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    boolean failed = result.getStatus() == TestExecutionResult.Status.FAILED;
    if (test.isTest() || failed) {
      String said = result.getThrowable().map(Throwable::toString).orElse("passed");
      findings.check(test.getLegacyReportingName(), !failed, said);
      result.getThrowable().ifPresent(Throwable::printStackTrace);
    }
  }
}
