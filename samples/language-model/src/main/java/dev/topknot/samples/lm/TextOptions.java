package dev.topknot.samples.lm;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which text. */
final class TextOptions {
  @Option(
      names = "--data",
      paramLabel = "PATH",
      description =
          "A directory in the layout of the 1-Billion-Word benchmark, or a text file with one"
              + " sentence a line, .gz too. Default: the bundled text.")
  private Path data;

  @Option(
      names = "--shards",
      paramLabel = "N",
      description = "Only the first training shards of a directory.")
  private Integer shards;

  @Option(
      names = "--heldout-shards",
      paramLabel = "N",
      description = "Only the first held-out shards of a directory.")
  private Integer heldOutShards;

  /** The text given here, the rest as there. */
  Text over(Text base) {
    return new Text(
        data == null ? base.data() : data,
        shards == null ? base.shards() : shards,
        heldOutShards == null ? base.heldOutShards() : heldOutShards);
  }
}
