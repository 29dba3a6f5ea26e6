package dev.topknot.samples.lm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SettingsTest {
  @TempDir Path folder;

  @Test
  void findsAgainWhatItSaved() throws IOException {
    Settings given =
        new Settings(
            ModelKind.DENSE,
            new Text(folder.resolve("a text"), 8, 2),
            -3,
            0.0125,
            400,
            0.5,
            0.0,
            1e-3,
            0.2,
            2,
            12_345L,
            1.5);
    given.save(folder.resolve("one"));
    assertThat(Settings.load(folder.resolve("one"))).isEqualTo(given);
    Settings.DEFAULTS.save(folder.resolve("two"));
    assertThat(Settings.load(folder.resolve("two"))).isEqualTo(Settings.DEFAULTS);
  }

  @Test
  void saysThatADirectoryIsNoRun() {
    assertThatThrownBy(() -> Settings.load(folder))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("is not the directory of a run");
  }
}
