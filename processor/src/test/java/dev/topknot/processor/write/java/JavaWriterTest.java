package dev.topknot.processor.write.java;

import static org.assertj.core.api.Assertions.assertThat;

import dev.topknot.dsl.ActivationFunction;
import dev.topknot.processor.model.LayerKind;
import dev.topknot.processor.model.ModelSpec;
import dev.topknot.processor.model.Spec;
import dev.topknot.processor.plan.KernelNames;
import dev.topknot.processor.plan.Plan;
import dev.topknot.processor.plan.Planner;
import dev.topknot.processor.plan.Specs;
import dev.topknot.processor.write.cuda.CuWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Golden files: what is generated, as a person reads it. After an intended change, run with {@code
 * -Dtopknot.golden=write} and read the difference.
 */
class JavaWriterTest {
  private static final Path GOLDEN = Path.of("src/test/golden");

  @ParameterizedTest
  @ValueSource(strings = {"TopknotExperts", "TopknotExpertsCpu", "TopknotExpertsCuda"})
  void layer(String file) throws IOException {
    golden(Specs.layer(Specs.moe(64, 4, 256, ActivationFunction.RELU), 128, 640), file);
  }

  @ParameterizedTest
  @ValueSource(strings = {"TopknotModel", "TopknotModelCpu", "TopknotModelCuda"})
  void model(String file) throws IOException {
    golden(Specs.newsModel(), file);
  }

  @Test
  void kernels() throws IOException {
    Plan layer =
        Planner.plan(Specs.layer(Specs.moe(64, 4, 256, ActivationFunction.RELU), 128, 640));
    compare(CuWriter.write(layer, new KernelNames(layer)), "Experts.cu");
    Plan model = Planner.plan(Specs.newsModel());
    compare(CuWriter.write(model, new KernelNames(model)), "Model.cu");
    Plan rounded = Planner.plan(Specs.inBf16(Specs.newsModel()));
    compare(CuWriter.write(rounded, new KernelNames(rounded)), "ModelBf16.cu");
  }

  private static void golden(Spec spec, String name) throws IOException {
    compare(text(spec, name), name + ".java");
  }

  private static void compare(String text, String name) throws IOException {
    Path golden = GOLDEN.resolve(name);
    if ("write".equals(System.getProperty("topknot.golden"))) {
      Files.writeString(golden, text);
    }
    assertThat(text).isEqualTo(Files.readString(golden));
  }

  private static String text(Spec spec, String name) {
    return text(sources(spec), name);
  }

  private static String text(List<JavaWriter.Source> sources, String name) {
    return sources.stream()
        .filter(source -> source.simpleName().equals(name))
        .findFirst()
        .orElseThrow()
        .text();
  }

  private static List<JavaWriter.Source> sources(Spec spec, String... besides) {
    Set<String> beside = Set.of(besides);
    Plan plan = Planner.plan(spec);
    return new JavaWriter(Optional.of("javax.annotation.processing.Generated"), beside::contains)
        .write(plan, KernelNames.of(plan), Set.of());
  }

  @Test
  void theSameInputGivesTheSameText() {
    assertThat(sources(Specs.newsModel())).isEqualTo(sources(Specs.newsModel()));
  }

  @Test
  void whatThePackageHidesOfJavaLangIsImported() {
    String text = text(sources(Specs.newsModel()), "TopknotModelCuda");
    String beside = text(sources(Specs.newsModel(), "String", "List"), "TopknotModelCuda");
    assertThat(text).doesNotContain("import java.lang.");
    assertThat(beside).containsOnlyOnce("import java.lang.String;\n");
    assertThat(beside.replace("import java.lang.String;\n", "")).isEqualTo(text);
  }

  @Test
  void layersWhoseNamesDifferInCaseOnlyGetClassesOfTheirOwn() {
    String text =
        text(
            Specs.model(
                2,
                3,
                11,
                8,
                Specs.named("layer", new LayerKind.Lstm(8)),
                Specs.named("Layer", new LayerKind.Lstm(8)),
                Specs.named("run", new LayerKind.Lstm(8))),
            "TopknotModelCpu");
    assertThat(text).contains("class TrainLayer ", "class TrainLayer_ ", "runLayer.forward(run);");
  }

  @Test
  void manyParametersAreSplitOverMethods() {
    List<ModelSpec.Layer> layers = new ArrayList<>();
    for (int i = 0; i < 60; i++) {
      layers.add(Specs.named("lstm" + i, new LayerKind.Lstm(8)));
    }
    String text =
        text(Specs.model(2, 3, 11, 8, layers.toArray(ModelSpec.Layer[]::new)), "TopknotModel");
    assertThat(text).contains("Stream.of(layout$0(), layout$1()).flatMap(List::stream).toList()");
  }
}
