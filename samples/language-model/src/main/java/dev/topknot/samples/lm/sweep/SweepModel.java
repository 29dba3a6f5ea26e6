package dev.topknot.samples.lm.sweep;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Options;
import java.util.Locale;

/** The models of the sweeps, each compiled in every scale. */
public enum SweepModel {
  /** Four LSTMs. */
  LSTM_4(
      "4xLSTM",
      in(Tiny.Lstm4.class, TopknotTiny_Lstm4::on),
      in(Small.Lstm4.class, TopknotSmall_Lstm4::on)),
  /** One expert as wide as four. */
  MOE_1_WIDE(
      "MoE-1-Wide",
      in(Tiny.Moe1Wide.class, TopknotTiny_Moe1Wide::on),
      in(Small.Moe1Wide.class, TopknotSmall_Moe1Wide::on)),
  /** One expert of four hidden layers. */
  MOE_1_DEEP(
      "MoE-1-Deep",
      in(Tiny.Moe1Deep.class, TopknotTiny_Moe1Deep::on),
      in(Small.Moe1Deep.class, TopknotSmall_Moe1Deep::on)),
  /** 4 experts, all for every token. */
  MOE_4(
      "MoE-4",
      in(Tiny.Moe4.class, TopknotTiny_Moe4::on),
      in(Small.Moe4.class, TopknotSmall_Moe4::on)),
  /** 4 of 32 experts. */
  MOE_32(
      "MoE-32",
      in(Tiny.Moe32.class, TopknotTiny_Moe32::on),
      in(Small.Moe32.class, TopknotSmall_Moe32::on)),
  /** 4 of 32 experts, in batches eight times as large. */
  MOE_32_BATCH(
      "MoE-32, large batches",
      in(Tiny.Moe32Batch.class, TopknotTiny_Moe32Batch::on),
      in(Small.Moe32Batch.class, TopknotSmall_Moe32Batch::on)),
  /** 4 of 256 experts. */
  MOE_256(
      "MoE-256",
      in(Tiny.Moe256.class, TopknotTiny_Moe256::on),
      in(Small.Moe256.class, TopknotSmall_Moe256::on)),
  /** 2 of 16 groups, 2 experts in each. */
  MOE_256_H(
      "MoE-256-h",
      in(Tiny.Moe256H.class, TopknotTiny_Moe256H::on),
      in(Small.Moe256H.class, TopknotSmall_Moe256H::on)),
  /** 2 of 32 groups, 2 experts in each. */
  MOE_1024_H(
      "MoE-1024-h",
      in(Tiny.Moe1024H.class, TopknotTiny_Moe1024H::on),
      in(Small.Moe1024H.class, TopknotSmall_Moe1024H::on)),
  /** 2 of 64 groups, 2 experts in each. */
  MOE_4096_H(
      "MoE-4096-h",
      in(Tiny.Moe4096H.class, TopknotTiny_Moe4096H::on),
      in(Small.Moe4096H.class, TopknotSmall_Moe4096H::on)),
  /** Four LSTMs of half the width. */
  LSTM_4_HALF(
      "4xLSTM, half as wide",
      in(Tiny.Lstm4Half.class, TopknotTiny_Lstm4Half::on),
      in(Small.Lstm4Half.class, TopknotSmall_Lstm4Half::on)),
  /** Four LSTMs of twice the width. */
  LSTM_4_TWICE(
      "4xLSTM, twice as wide",
      in(Tiny.Lstm4Twice.class, TopknotTiny_Lstm4Twice::on),
      in(Small.Lstm4Twice.class, TopknotSmall_Lstm4Twice::on)),
  /** 4 of 32 experts, everything at half the width. */
  MOE_32_HALF(
      "MoE-32, half as wide",
      in(Tiny.Moe32Half.class, TopknotTiny_Moe32Half::on),
      in(Small.Moe32Half.class, TopknotSmall_Moe32Half::on)),
  /** 4 of 32 experts, everything at twice the width. */
  MOE_32_TWICE(
      "MoE-32, twice as wide",
      in(Tiny.Moe32Twice.class, TopknotTiny_Moe32Twice::on),
      in(Small.Moe32Twice.class, TopknotSmall_Moe32Twice::on));

  private final String label;

  @SuppressWarnings("ImmutableEnumChecker") // classes and methods, without state
  private final Entry tiny;

  @SuppressWarnings("ImmutableEnumChecker")
  private final Entry small;

  SweepModel(String label, Entry tiny, Entry small) {
    this.label = label;
    this.tiny = tiny;
    this.small = small;
  }

  private Entry in(Scale scale) {
    return switch (scale) {
      case TINY -> tiny;
      case SMALL -> small;
    };
  }

  private record Entry(Class<? extends LanguageModel> spec, Opener opener) {}

  private interface Opener {
    LanguageModel on(Device device, long seed, Options options);
  }

  private static Entry in(Class<? extends LanguageModel> spec, Opener opener) {
    return new Entry(spec, opener);
  }

  /** As [S17] calls it. */
  public String label() {
    return label;
  }

  /** The annotated interface. */
  public Class<? extends LanguageModel> spec(Scale scale) {
    return in(scale).spec;
  }

  /** An instance, as the generated class of that name makes it. */
  public LanguageModel on(Scale scale, Device device, long seed, Options options) {
    return in(scale).opener.on(device, seed, options);
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
