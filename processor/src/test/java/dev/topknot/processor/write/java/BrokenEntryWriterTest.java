package dev.topknot.processor.write.java;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.plan.Specs;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BrokenEntryWriterTest {
  private static final Pattern STATIC = Pattern.compile("public static [^=;{]*");

  static List<Spec> specs() {
    return List.of(
        Specs.layer(Specs.moe(4, 2, 8, ActivationFunction.RELU), 16, 32), Specs.newsModel());
  }

  @ParameterizedTest
  @MethodSource("specs")
  void hasTheConstantsAndWaysInOfTheRealClass(Spec spec) {
    JavaWriter writer = new JavaWriter(Optional.empty(), name -> false);
    JavaWriter.Source real = writer.write(Planner.plan(spec), Optional.empty(), Set.of()).get(0);
    JavaWriter.Source broken =
        writer.writeBroken(spec.name(), spec.isPublic(), spec instanceof ModelSpec);
    assertThat(broken.simpleName()).isEqualTo(real.simpleName());
    assertThat(statics(broken)).isNotEmpty().isEqualTo(statics(real));
  }

  private static List<String> statics(JavaWriter.Source source) {
    return STATIC
        .matcher(source.text())
        .results()
        .map(it -> it.group().replaceAll("\\s+", " ").strip())
        .sorted()
        .toList();
  }
}
