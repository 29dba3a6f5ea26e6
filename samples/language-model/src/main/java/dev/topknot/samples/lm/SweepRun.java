package dev.topknot.samples.lm;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.samples.lm.SweepResult.Evenness;
import dev.topknot.text.Corpus;
import dev.topknot.text.KneserNey;
import dev.topknot.text.Metrics;
import dev.topknot.text.Trainer;
import dev.topknot.text.TrainingListener;
import dev.topknot.text.TrainingResult;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * The runs of a sweep over one text. Each has a directory of its own, named after what is trained
 * and a digest of all that decides how it goes: one that is finished is not done again, whichever
 * sweep asks for it, and one that was broken off goes on.
 */
final class SweepRun {
  private static final int ORDER = 5;

  private final Corpus corpus;
  private final Path directory;
  private final long saveEvery;
  private final String text;

  SweepRun(Corpus corpus, Path directory, long saveEvery) {
    this.corpus = corpus;
    this.directory = directory;
    this.saveEvery = saveEvery;
    this.text = corpus.training().fingerprint() + " " + corpus.heldOut().fingerprint();
  }

  /** The n-gram model of [S17] table 7. */
  SweepResult ngram() throws IOException {
    Map<String, String> settings = new TreeMap<>(Map.of("text", text, "order", "" + ORDER));
    Path folder = folder(ORDER + "-gram", settings);
    if (finished(folder)) {
      return SweepResult.load(folder);
    }
    long start = System.nanoTime();
    KneserNey model = KneserNey.of(corpus, ORDER);
    double seconds = (System.nanoTime() - start) / 1e9;
    double perplexity = model.evaluate(corpus.heldOut()).perplexity();
    long tokens = corpus.training().size();
    SweepResult result =
        new SweepResult(
            "Kneser-Ney %d-gram".formatted(ORDER),
            IntStream.rangeClosed(1, ORDER).mapToLong(model::ngrams).sum(),
            Double.NaN,
            tokens,
            seconds,
            perplexity,
            perplexity,
            tokens,
            Evenness.NONE,
            Evenness.NONE);
    result.save(folder, settings);
    return result;
  }

  /** Whether nothing is left to do for these settings. */
  boolean finished(Settings settings) {
    return finished(folder(settings));
  }

  private static boolean finished(Path folder) {
    return Files.exists(folder.resolve(SweepResult.FILE));
  }

  SweepResult result(Settings settings) throws IOException {
    return SweepResult.load(folder(settings));
  }

  /**
   * Trains, or goes on with training, until the end or Ctrl-C.
   *
   * @return empty if it was told to stop
   */
  Optional<SweepResult> train(Settings settings, Device device, TrainingListener listener)
      throws IOException {
    Path folder = folder(settings);
    try (LanguageModel model = settings.model().on(device, settings.seed(), settings.options());
        Trainer trainer = trainer(model, settings, folder, listener)) {
      TrainingResult trained = trainer.run();
      if (trained.stopped()) {
        return Optional.empty();
      }
      SweepResult result = result(settings, trained);
      result.save(folder, key(settings));
      return Optional.of(result);
    }
  }

  private Trainer trainer(
      LanguageModel model, Settings settings, Path folder, TrainingListener listener) {
    Trainer.Builder builder =
        TrainingRun.builder(model, corpus, settings, folder)
            .saveEvery(saveEvery)
            .resume(Files.exists(folder.resolve(Trainer.MODEL_FILE)))
            .listener(listener);
    if (settings.epochs() > 1) {
      builder.evaluateEvery(corpus.training().batches(model).steps(), Long.MAX_VALUE);
    }
    return builder.build();
  }

  private static SweepResult result(Settings settings, TrainingResult trained) throws IOException {
    List<Metrics> rows = trained.log().metrics();
    double perplexity = trained.heldOut().orElseThrow().perplexity();
    double best = perplexity;
    long bestTokens = trained.tokens();
    for (Metrics row : rows) {
      // Rows are kept with seven digits.
      if (row.evaluated() && row.heldOutPerplexity() < best * (1 - 1e-6)) {
        best = row.heldOutPerplexity();
        bestTokens = row.tokens();
      }
    }
    return new SweepResult(
        settings.model().toString(),
        settings.model().reported("of these counted"),
        settings.model().reported("ops/timestep"),
        trained.tokens(),
        trained.seconds(),
        perplexity,
        best,
        bestTokens,
        rows.isEmpty() ? Evenness.NONE : Evenness.of(rows.get(rows.size() - 1)),
        trained.heldOut().orElseThrow().balances().stream()
            .findFirst()
            .map(Evenness::of)
            .orElse(Evenness.NONE));
  }

  private Path folder(Settings settings) {
    return folder(settings.model().toString(), key(settings));
  }

  private Path folder(String name, Map<String, String> key) {
    return directory.resolve(name + "-" + digest(key.toString()));
  }

  /** All settings, the text by what it says and not by where it lies. */
  private Map<String, String> key(Settings settings) {
    Map<String, String> key = new TreeMap<>(settings.withText(Text.BUNDLED).properties());
    key.put("text", text);
    return key;
  }

  private static String digest(String key) {
    try {
      byte[] digest =
          MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(digest, 0, 4);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
