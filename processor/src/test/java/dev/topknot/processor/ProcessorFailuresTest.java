package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Set;
import javax.annotation.processing.AbstractProcessor;
import javax.annotation.processing.Filer;
import javax.annotation.processing.ProcessingEnvironment;
import javax.annotation.processing.RoundEnvironment;
import javax.lang.model.SourceVersion;
import javax.lang.model.element.TypeElement;
import javax.lang.model.util.Elements;
import org.junit.jupiter.api.Test;

/** The processor never throws, whatever its surroundings do. */
class ProcessorFailuresTest {
  private static final MarkedSource GOOD =
      MarkedSource.of(
          """
          @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
          @Expert(hidden = 8)
          interface News extends MoE {}
          """);

  /** What happens instead of a call, null for the call itself. */
  private interface Instead {
    Throwable of(Class<?> type, String method);
  }

  /** The processor in an environment that it does not know, parts of which fail. */
  private static final class Wrapped extends AbstractProcessor {
    private final TopknotProcessor processor = new TopknotProcessor();
    private final Instead instead;

    Wrapped(Instead instead) {
      this.instead = instead;
    }

    @Override
    public Set<String> getSupportedAnnotationTypes() {
      return processor.getSupportedAnnotationTypes();
    }

    @Override
    public SourceVersion getSupportedSourceVersion() {
      return SourceVersion.latestSupported();
    }

    @Override
    public synchronized void init(ProcessingEnvironment environment) {
      Filer filer = proxy(Filer.class, environment.getFiler());
      Elements elements = proxy(Elements.class, environment.getElementUtils());
      processor.init(
          (ProcessingEnvironment)
              Proxy.newProxyInstance(
                  Wrapped.class.getClassLoader(),
                  new Class<?>[] {ProcessingEnvironment.class},
                  (self, method, arguments) ->
                      switch (method.getName()) {
                        case "getFiler" -> filer;
                        case "getElementUtils" -> elements;
                        default -> method.invoke(environment, arguments);
                      }));
    }

    private <T> T proxy(Class<T> type, T real) {
      return type.cast(
          Proxy.newProxyInstance(
              Wrapped.class.getClassLoader(),
              new Class<?>[] {type},
              (self, method, arguments) -> {
                Throwable thrown = instead.of(type, method.getName());
                if (thrown != null) {
                  throw thrown;
                }
                try {
                  return method.invoke(real, arguments);
                } catch (InvocationTargetException e) {
                  throw e.getCause();
                }
              }));
    }

    @Override
    public boolean process(Set<? extends TypeElement> annotations, RoundEnvironment round) {
      processor.process(annotations, round);
      return false;
    }
  }

  private static Compiled compile(MarkedSource source, Instead instead) {
    return Compiled.with(List.of(new Wrapped(instead)), List.of("-proc:only"), source.file());
  }

  @Test
  void aFileThatCannotBeWritten() {
    Compiled compiled =
        compile(
            GOOD,
            (type, method) -> type == Filer.class ? new IOException("the disk is full") : null);
    assertThat(compiled.printed())
        .isEqualTo(
            """
            News.java:5: error: [TK091] what News compiles to cannot be written: \
            java.io.IOException: the disk is full
            interface News extends MoE {}
            ^
            """);
  }

  @Test
  void anErrorWithinIsOneMessage() {
    Compiled compiled =
        compile(
            GOOD,
            (type, method) ->
                type == Filer.class
                    ? new IllegalStateException("no", new ArithmeticException("deep\nwithin"))
                    : null);
    assertThat(compiled.places()).containsExactly("TK099 5:1");
    assertThat(compiled.printed())
        .contains("java.lang.IllegalStateException: no, caused by")
        .contains("java.lang.ArithmeticException: deep within, at ")
        .contains("please report it");
  }

  @Test
  void anErrorOutsideOfAnyTypeIsOneMessage() {
    Compiled compiled =
        compile(
            GOOD,
            (type, method) ->
                method.equals("getPackageOf") ? new StackOverflowError("round and round") : null);
    assertThat(compiled.ours()).extracting(Compiled::code).containsExactly("TK099");
  }

  @Test
  void aCompilerWithoutTreesIsToldTheOrdinal() {
    Compiled compiled =
        compile(
            MarkedSource.of(
                """
                @MoELayer(experts = 4, k = 2, width = 4, tokens = 4)
                @Expert(hidden = 8)
                @Expert(hidden = {8, -1})
                interface News extends MoE {}
                """),
            (type, method) -> null);
    assertThat(compiled.printed())
        .contains("[TK035] second @Expert: 2 of the kinds of News's experts have no count")
        .contains("[TK014] second @Expert, hidden[1]: hidden = -1");
  }
}
