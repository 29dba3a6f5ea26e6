package demo;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.topknot.text.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FictionTest {
  @TempDir Path run;

  @Test
  void learnsMoreThanCounts() throws IOException {
    double[] perplexities = Fiction.train(Path.of("text/fiction.txt"), run, 4);

    assertTrue(perplexities[0] < 0.85 * perplexities[1], perplexities[0] + ", " + perplexities[1]);
    assertTrue(Files.size(run.resolve(Trainer.MODEL_FILE)) > 0);
  }
}
