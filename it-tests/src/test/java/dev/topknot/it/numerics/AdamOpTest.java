package dev.topknot.it.numerics;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.it.reference.Draw;
import dev.topknot.it.reference.Matrix;
import dev.topknot.it.reference.Training;
import dev.topknot.runtime.Options;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.cpu.Adam;
import dev.topknot.runtime.cpu.AdamFactored;
import dev.topknot.runtime.cpu.CpuAccess;
import dev.topknot.runtime.cpu.Run;
import dev.topknot.runtime.program.Init;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The optimizer against the reference on equal gradients. */
class AdamOpTest {
  private static final int STEPS = 6;
  private static final Update CONSTANTS = Update.of(0.01);

  @ParameterizedTest
  @CsvSource({
    "1, Infinity, 0.9, 0.999",
    "2, Infinity, 0.9, 0.999",
    "1, 3, 0.9, 0.999",
    "2, 3, 0.9, 0.999",
    "2, 3, 0, 0.999",
    "1, Infinity, 0, 0"
  })
  void agreesWithTheReference(int threads, double clip, double beta1, double beta2) {
    Layout layout =
        Layout.of(
            "Test",
            List.of(
                new Layout.Entry("a", "weight", 1, 41, 7, 0, Init.ZERO, 0),
                new Layout.Entry("b", "experts.*.w1", 3, 5, 64, 320, Init.ZERO, 1)));
    Draw draw = new Draw(1);
    int size = Math.toIntExact(layout.size());
    Matrix start = masked(layout, draw.normal(1, size, 0.01).rounded());
    Matrix expected = start.copy();
    dev.topknot.it.reference.Adam reference =
        new dev.topknot.it.reference.Adam(beta1, beta2, 1e-8, 1, size);
    try (Buffers buffers = new Buffers()) {
      Adam adam = new Adam(CpuAccess.context(threads, Options.defaults(), layout));
      Run run = CpuAccess.run(1, layout);
      dev.topknot.runtime.cpu.Matrix parameters = buffers.floats(start);
      dev.topknot.runtime.cpu.Matrix first = buffers.floats(Matrix.zeros(1, size));
      dev.topknot.runtime.cpu.Matrix second = buffers.floats(Matrix.zeros(1, size));
      for (int step = 0; step < STEPS; step++) {
        Matrix gradient = masked(layout, draw.normal(1, size, 1).rounded());
        dev.topknot.runtime.cpu.Matrix gradients = buffers.floats(gradient);
        CpuAccess.update(run, CONSTANTS.withBetas(beta1, beta2).withClip(clip), step);
        adam.norm(run, gradients);
        assertThat(run.gradientNorm() / Training.globalNorm(List.of(gradient)))
            .isBetween(1 - Close.TOLERANCE, 1 + Close.TOLERANCE);
        adam.update(run, parameters, gradients, first, second);

        double factor = Training.clippingFactor(List.of(gradient), clip);
        reference.step(expected, gradient.scaled(factor), CONSTANTS.rate());
        Matrix moved = Buffers.read(parameters).plus(start.scaled(-1));
        Close.check("way after step " + step, moved, expected.plus(start.scaled(-1)));
      }
    }
  }

  /** Matrices of several tiles, one row and one column, and an expert that is never used. */
  @ParameterizedTest
  @CsvSource({"1, Infinity", "2, Infinity", "1, 3", "2, 3"})
  void factoredAgreesWithTheReference(int threads, double clip) {
    Layout layout =
        Layout.of(
            "Test",
            List.of(
                new Layout.Entry("a", "weight", 1, 41, 7, 0, Init.ZERO, 0),
                new Layout.Entry("b", "experts.*.w1", 3, 300, 64, 320, Init.ZERO, 1),
                new Layout.Entry("b", "experts.*.w2", 3, 5, 1100, 57_920, Init.ZERO, 1),
                new Layout.Entry("c", "tall", 1, 1000, 1, 74_432, Init.ZERO, 2),
                new Layout.Entry("c", "bias", 1, 1, 513, 75_456, Init.ZERO, 2)));
    List<Layout.Slice> slices = layout.slices();
    Draw draw = new Draw(1);
    int size = Math.toIntExact(layout.size());
    try (Buffers buffers = new Buffers()) {
      AdamFactored adam = new AdamFactored(CpuAccess.context(threads, Options.defaults(), layout));
      Run run = CpuAccess.run(1, layout);
      dev.topknot.runtime.cpu.Matrix parameters = buffers.floats(Matrix.zeros(1, size));
      dev.topknot.runtime.cpu.Matrix rowMeans = means(buffers, layout, Moment.ROW_MEANS);
      dev.topknot.runtime.cpu.Matrix columnMeans = means(buffers, layout, Moment.COLUMN_MEANS);
      List<Matrix> expected = new ArrayList<>();
      List<dev.topknot.it.reference.Adam> references = new ArrayList<>();
      for (Layout.Slice slice : slices) {
        int rows = Math.toIntExact(slice.of().rows());
        int columns = Math.toIntExact(slice.of().columns());
        expected.add(Matrix.zeros(rows, columns));
        references.add(dev.topknot.it.reference.Adam.factored(0.999, 1e-8, rows, columns));
      }
      for (int step = 0; step < STEPS; step++) {
        Matrix gradient = masked(layout, draw.normal(1, size, 1).rounded());
        Layout.Slice unused = slices.get(2);
        Arrays.fill(
            gradient.data(),
            Math.toIntExact(unused.offset()),
            Math.toIntExact(unused.offset() + unused.size()),
            0);
        dev.topknot.runtime.cpu.Matrix gradients = buffers.floats(gradient);
        CpuAccess.update(run, CONSTANTS.withClip(clip), step);
        adam.norm(run, gradients);
        assertThat(run.gradientNorm() / Training.globalNorm(List.of(gradient)))
            .isBetween(1 - Close.TOLERANCE, 1 + Close.TOLERANCE);
        adam.update(run, parameters, gradients, rowMeans, columnMeans);

        double factor = Training.clippingFactor(List.of(gradient), clip);
        Matrix actual = Buffers.read(parameters);
        for (int s = 0; s < slices.size(); s++) {
          Matrix p = expected.get(s);
          Matrix g = part(gradient, slices.get(s)).scaled(factor);
          references.get(s).step(p, g, CONSTANTS.rate());
          String name = slices.get(s).name() + " after step " + step;
          if (s == 2) {
            assertThat(part(actual, slices.get(s)).data()).as(name).containsOnly(0);
          } else {
            Close.check(name, part(actual, slices.get(s)), p);
          }
        }
      }
    }
  }

  private static dev.topknot.runtime.cpu.Matrix means(
      Buffers buffers, Layout layout, Moment moment) {
    return buffers.floats(Matrix.zeros(1, Math.toIntExact(moment.size(layout))));
  }

  private static Matrix part(Matrix arena, Layout.Slice slice) {
    int from = Math.toIntExact(slice.offset());
    int to = Math.toIntExact(slice.offset() + slice.size());
    return Matrix.of(
        Math.toIntExact(slice.of().rows()),
        Math.toIntExact(slice.of().columns()),
        Arrays.copyOfRange(arena.data(), from, to));
  }

  /** Zero between the parameters. */
  private static Matrix masked(Layout layout, Matrix values) {
    Matrix result = values.scaled(0);
    for (Layout.Slice slice : layout.slices()) {
      int from = Math.toIntExact(slice.offset());
      int to = Math.toIntExact(slice.offset() + slice.size());
      System.arraycopy(
          Arrays.copyOfRange(values.data(), from, to), 0, result.data(), from, to - from);
    }
    return result;
  }
}
