package dev.topknot.processor;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import javax.tools.Diagnostic;
import org.junit.jupiter.api.Test;

/** An interface with errors has an entry class all the same, so that only the errors are told. */
class BrokenEntryTest {
  private static final String LAYER =
      """
      @MoELayer(experts = 4, k = %d, width = 16, tokens = 160)
      @Expert(hidden = 8)
      interface NewsExperts extends MoE {}
      """;
  private static final String MODEL =
      """
      @MoEModel(batch = 8, timesteps = 20)
      public interface News extends LanguageModel {
        @Embedding(vocabulary = 100, width = %d)
        Layer words();

        NewsExperts experts();

        @Softmax(vocabulary = 100)
        Layer next();
      }
      """;
  private static final String USER =
      """
      class User {
        static final int EXPERTS = TopknotNewsExperts.EXPERTS;
        static final long ALL = TopknotNews.PARAMETERS + TopknotNews.BATCH;

        News open(Device device) {
          return TopknotNews.on(device, 42L, Options.defaults());
        }

        NewsExperts experts() {
          return TopknotNewsExperts.on(Device.best());
        }
      }
      """;

  private static List<String> errors(int k, int width) {
    return Compiled.with(
            List.of(new TopknotProcessor()),
            List.of("-XDshould-stop.ifError=FLOW", "-Xlint:all,-processing"),
            MarkedSource.of(MODEL.formatted(width) + LAYER.formatted(k) + USER).file())
        .compilation()
        .diagnostics()
        .stream()
        .filter(it -> it.getKind() == Diagnostic.Kind.ERROR)
        .map(it -> it.getMessage(null).substring(0, 7))
        .toList();
  }

  @Test
  void onlyOurMessagesAreTold() {
    assertThat(errors(8, 16)).containsExactly("[TK012]");
    assertThat(errors(2, 8)).containsExactly("[TK046]");
    assertThat(errors(8, 8)).containsExactlyInAnyOrder("[TK012]", "[TK046]");
  }
}
