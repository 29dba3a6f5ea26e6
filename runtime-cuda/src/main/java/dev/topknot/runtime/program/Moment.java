package dev.topknot.runtime.program;

import dev.topknot.dsl.Optimizer;
import java.util.List;

/**
 * What an optimizer keeps beside the parameters: an arena of each, and in checkpoints a tensor for
 * each parameter.
 */
public enum Moment {
  /** Adam's running mean of gradients, laid out like the parameters. */
  FIRST("optimizer.m.", -Float.MAX_VALUE),
  /** Adam's running mean of squared gradients, laid out like the parameters. */
  SECOND("optimizer.v.", 0),
  /** The second moment's means over the columns: a float for each row of each matrix, densely. */
  ROW_MEANS("optimizer.rows.", 0),
  /** The second moment's means over the rows: a float for each column of each matrix, densely. */
  COLUMN_MEANS("optimizer.columns.", 0);

  private final String prefix;
  private final float least;

  Moment(String prefix, float least) {
    this.prefix = prefix;
    this.least = least;
  }

  /** Those of an optimizer, in the order of files. */
  public static List<Moment> of(Optimizer optimizer) {
    return switch (optimizer) {
      case ADAM -> List.of(FIRST, SECOND);
      case ADAM_FACTORED -> List.of(ROW_MEANS, COLUMN_MEANS);
      case NONE -> List.of();
    };
  }

  /** What its tensors' names begin with in a file, before the parameter's. */
  String prefix() {
    return prefix;
  }

  /** The least value that training leaves. */
  float least() {
    return least;
  }

  /** Floats of its arena. */
  public long size(Layout layout) {
    int all = layout.entries().size();
    return switch (this) {
      case FIRST, SECOND -> layout.size();
      case ROW_MEANS -> layout.rowsBefore(all);
      case COLUMN_MEANS -> layout.columnsBefore(all);
    };
  }

  /** Where that of a parameter begins in its arena, in floats. */
  public long offset(Layout layout, Layout.Slice slice) {
    Layout.Entry entry = slice.of();
    return switch (this) {
      case FIRST, SECOND -> slice.offset();
      case ROW_MEANS -> layout.rowsBefore(slice.entry()) + slice.copy() * entry.rows();
      case COLUMN_MEANS -> layout.columnsBefore(slice.entry()) + slice.copy() * entry.columns();
    };
  }

  /** The shape of that of a parameter. */
  public long[] shape(Layout.Slice slice) {
    return switch (this) {
      case FIRST, SECOND -> slice.shape();
      case ROW_MEANS -> new long[] {slice.of().rows()};
      case COLUMN_MEANS -> new long[] {slice.of().columns()};
    };
  }
}
