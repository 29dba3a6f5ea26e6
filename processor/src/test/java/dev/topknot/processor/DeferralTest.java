package dev.topknot.processor;

import static com.google.testing.compile.CompilationSubject.assertThat;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.annotation.processing.AbstractProcessor;
import javax.annotation.processing.RoundEnvironment;
import javax.lang.model.SourceVersion;
import javax.lang.model.element.TypeElement;
import javax.tools.JavaFileObject;
import javax.tools.StandardLocation;
import org.junit.jupiter.api.Test;

/** Types and constants that another processor generates in the same compilation. */
class DeferralTest {
  private static final String MODEL =
      """
      import dev.topknot.dsl.*;
      import dev.topknot.runtime.*;

      @MoEModel(batch = 8, timesteps = 20)
      interface News extends LanguageModel {
        @Embedding(vocabulary = 100, width = 16)
        Layer words();

        %s experts();

        @Softmax(vocabulary = %s)
        Layer next();
      }
      """;

  private static final String EXPERTS =
      """
      import dev.topknot.dsl.*;
      import dev.topknot.runtime.*;

      @MoELayer(experts = 4, k = %s, width = 16, tokens = 160)
      @Expert(hidden = 8)
      interface NewsExperts extends %s {}
      """;

  private static final String BASE = "interface Base extends dev.topknot.runtime.MoE {}";

  /** Writes given sources, each in a given round. */
  private static final class Generator extends AbstractProcessor {
    private final Map<String, String> sources;
    private final int inRound;
    private int round;

    Generator(Map<String, String> sources, int inRound) {
      this.sources = sources;
      this.inRound = inRound;
    }

    @Override
    public Set<String> getSupportedAnnotationTypes() {
      return Set.of("*");
    }

    @Override
    public SourceVersion getSupportedSourceVersion() {
      return SourceVersion.latestSupported();
    }

    @Override
    public boolean process(Set<? extends TypeElement> annotations, RoundEnvironment environment) {
      round++;
      if (round == inRound) {
        sources.forEach(this::write);
      } else if (round < inRound) {
        write("Round" + round, "class Round" + round + " {}");
      }
      return false;
    }

    private void write(String name, String text) {
      try (Writer writer = processingEnv.getFiler().createSourceFile(name).openWriter()) {
        writer.write(text);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private static Compiled compile(
      Map<String, String> generated, int inRound, JavaFileObject... sources) {
    return Compiled.with(
        List.of(new TopknotProcessor(), new Generator(generated, inRound)),
        List.of("-proc:only"),
        sources);
  }

  private static void assertGenerated(Compiled compiled, String... names) {
    assertThat(compiled.compilation()).succeeded();
    assertThat(compiled.places()).isEmpty();
    for (String name : names) {
      assertThat(compiled.compilation())
          .generatedFile(StandardLocation.SOURCE_OUTPUT, name + ".java")
          .contentsAsUtf8String()
          .contains("Instance.open(");
    }
  }

  @Test
  void aLayerTypeComesInTheFirstRound() {
    assertGenerated(
        compile(
            Map.of("NewsExperts", EXPERTS.formatted("2", "MoE")),
            1,
            Compiled.source("News", MODEL.formatted("NewsExperts", "100"))),
        "TopknotNews",
        "TopknotNewsExperts");
  }

  @Test
  void aLayerTypeComesLate() {
    assertGenerated(
        compile(
            Map.of("NewsExperts", EXPERTS.formatted("2", "MoE")),
            3,
            Compiled.source("News", MODEL.formatted("NewsExperts", "100"))),
        "TopknotNews",
        "TopknotNewsExperts");
  }

  @Test
  void theSupertypeOfALayerTypeComes() {
    assertGenerated(
        compile(
            Map.of("Base", BASE),
            2,
            Compiled.source("News", MODEL.formatted("NewsExperts", "100")),
            Compiled.source("NewsExperts", EXPERTS.formatted("2", "Base"))),
        "TopknotNews",
        "TopknotNewsExperts");
  }

  @Test
  void constantsCome() {
    assertGenerated(
        compile(
            Map.of("Sizes", "interface Sizes { int K = 2; int VOCABULARY = 100; }"),
            1,
            Compiled.source("News", MODEL.formatted("NewsExperts", "Sizes.VOCABULARY")),
            Compiled.source("NewsExperts", EXPERTS.formatted("Sizes.K", "MoE"))),
        "TopknotNews",
        "TopknotNewsExperts");
  }

  @Test
  void rulesLookAtWhatCame() {
    Compiled compiled =
        compile(
            Map.of("Sizes", "interface Sizes { int K = 5; }"),
            1,
            Compiled.source("NewsExperts", EXPERTS.formatted("Sizes.K", "MoE")));
    assertThat(compiled.places()).containsExactly("TK012 4:33");
  }

  @Test
  void whatNeverComesIsExplained() {
    Compiled compiled =
        compile(Map.of(), 1, Compiled.source("News", MODEL.formatted("NoSuchExperts", "100")));
    assertThat(compiled.ours()).extracting(Compiled::code).containsExactly("TK090");
  }

  @Test
  void valuesThatTheCompilerRefusesAreItsOwnBusiness() {
    for (String k : List.of("NoSuch.K", "\"two\"", "2.5")) {
      Compiled compiled =
          Compiled.with(
              List.of(new TopknotProcessor()),
              List.of(),
              Compiled.source("NewsExperts", EXPERTS.formatted(k, "MoE")));
      assertThat(compiled.compilation()).failed();
      assertThat(compiled.places()).isEmpty();
    }
  }

  @Test
  void aMissingValueIsTheCompilersBusinessToo() {
    Compiled compiled =
        Compiled.with(
            List.of(new TopknotProcessor()),
            List.of(),
            Compiled.source("NewsExperts", EXPERTS.formatted("2", "MoE").replace("k = 2, ", "")));
    assertThat(compiled.compilation()).hadErrorContaining("missing a default value");
    assertThat(compiled.places()).isEmpty();
  }

  @Test
  void methodsWithABodyMayNameWhatIsGenerated() {
    Compiled compiled =
        Compiled.processOnly(
            List.of(),
            Compiled.source(
                "NewsExperts",
                EXPERTS
                    .formatted("2", "MoE")
                    .replace("{}", "{ default TopknotNewsExperts self() { return null; } }")));
    assertGenerated(compiled, "TopknotNewsExperts");
  }
}
