package dev.topknot.processor.write.java;

import dev.topknot.processor.plan.*;
import java.nio.file.*;
import java.util.*;
import org.junit.jupiter.api.Test;

class JavaWriterTest {
  @Test
  void dump() throws Exception {
    Path d = Path.of("/tmp/gen/com/example");
    Files.createDirectories(d);
    for (var spec :
        List.of(
            Specs.newsModel(),
            Specs.layer(Specs.moe(64, 4, 256, dev.topknot.dsl.ActivationFunction.RELU), 128, 640)))
      for (JavaWriter.Source s :
          JavaWriter.write(
              Planner.plan(spec), Optional.of("javax.annotation.processing.Generated")))
        Files.writeString(d.resolve(s.simpleName() + ".java"), s.text());
  }
}
