package dev.topknot.runtime.program;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.Precision;
import dev.topknot.runtime.Device;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What a user of the CPU is told of a precision that is for GPUs. */
class PrecisionTest {
  private static String log(String spec, Precision precision) {
    Layout layout = Layout.of(spec, List.of(new Layout.Entry("", "w", 1, 2, 2, 0, Init.ZERO, 0)));
    PrintStream before = System.err;
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    System.setErr(new PrintStream(bytes, true, StandardCharsets.UTF_8));
    try {
      Instance.cpu(Device.cpu(1), layout, precision);
    } finally {
      System.setErr(before);
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }

  @Test
  void theCpuSaysOnceThatItIsMorePrecise() {
    assertThat(log("Exact", Precision.FP32)).isEmpty();
    assertThat(log("Rounded", Precision.BF16))
        .contains("Rounded: precision = BF16 is for GPUs; on the CPU its products are in fp32");
    assertThat(log("Rounded", Precision.BF16)).isEmpty();
    assertThat(log("Another", Precision.BF16)).contains("Another: precision = BF16");
  }
}
