package dev.topknot.it.gpu;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectMethod;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * The tests that otherwise run on the emulator, on the GPU: each generated kernel against the
 * reference in double precision, and the twin of the sample's model against the CPU device.
 */
final class DeviceTests implements TestExecutionListener {
  private static final List<String> TESTS =
      List.of(
          "dev.topknot.it.cuda.TwinTest",
          "dev.topknot.it.numerics.CudaLayerTest",
          "dev.topknot.it.numerics.CudaModelTest");

  private final Findings findings;

  private DeviceTests(Findings findings) {
    this.findings = findings;
  }

  /**
   * Runs them.
   *
   * @param emulated whether only one test is run, and on the emulator
   */
  static void run(Findings findings, boolean emulated) {
    System.setProperty("topknot.test.gpu", String.valueOf(!emulated));
    LauncherDiscoveryRequestBuilder request = LauncherDiscoveryRequestBuilder.request();
    if (emulated) {
      request.selectors(selectMethod(TESTS.get(0), "gradientsAndParametersAreTheCpus"));
    } else {
      TESTS.forEach(test -> request.selectors(selectClass(test)));
    }
    LauncherDiscoveryRequest built = request.build();
    LauncherFactory.create().execute(built, new DeviceTests(findings));
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    boolean fine = result.getStatus() != TestExecutionResult.Status.FAILED;
    if (test.isTest() || !fine) {
      String said = result.getThrowable().map(Throwable::toString).orElse("passed"); // or aborted
      findings.check(test.getLegacyReportingName() + " " + test.getDisplayName(), fine, said);
      result.getThrowable().ifPresent(failure -> System.out.println(trace(failure)));
    }
  }

  private static String trace(Throwable failure) {
    StringWriter text = new StringWriter();
    failure.printStackTrace(new PrintWriter(text));
    return text.toString();
  }
}
