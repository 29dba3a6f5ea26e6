package demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Device;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.Update;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Four texts that count upwards, each from another word. */
class TinyModelTest {
  @TempDir Path folder;

  @Test
  void learnsToCount() throws IOException {
    try (TinyModel model = TopknotTinyModel.on(Device.best(), 7)) {
      List<Batch> text = List.of(count(0));
      double before = model.evaluate(text).loss();
      for (int step = 0; step < 150; step++) {
        model.train(count(step), Update.of(0.01));
      }
      Evaluation after = model.evaluate(text);

      assertEquals(Math.log(TopknotTinyModel.VOCABULARY), before, 0.5);
      assertTrue(after.perplexity() < 1.5, after.toString());
      assertEquals(4, after.balance().experts());
      assertArrayEquals(new int[] {5, 6, 7, 8}, model.generate(new int[] {3, 4}, 4, 0).toArray());

      Path file = folder.resolve("tiny.safetensors");
      model.save(file);
      try (TinyModel loaded = TopknotTinyModel.on(Device.best(), 8)) {
        loaded.load(file);
        assertEquals(after.loss(), loaded.evaluate(text).loss());
      }
    }
  }

  private static Batch count(int step) {
    int[] inputs = new int[TopknotTinyModel.TOKENS];
    int[] targets = new int[TopknotTinyModel.TOKENS];
    for (int i = 0; i < inputs.length; i++) {
      int text = i % TopknotTinyModel.BATCH;
      int time = step * TopknotTinyModel.TIMESTEPS + i / TopknotTinyModel.BATCH;
      inputs[i] = (3 * text + time) % TopknotTinyModel.VOCABULARY;
      targets[i] = (inputs[i] + 1) % TopknotTinyModel.VOCABULARY;
    }
    return Batch.full(inputs, targets);
  }
}
