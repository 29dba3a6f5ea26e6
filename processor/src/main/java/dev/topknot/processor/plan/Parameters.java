package dev.topknot.processor.plan;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Lays out the parameter arena. Training, planned first, asks for every parameter. */
final class Parameters {
  private final Map<String, Slot> slots = new LinkedHashMap<>();
  private long size;

  /** A parameter and the buffer through which programs see all its copies. */
  record Slot(Parameter parameter, Buffer buffer) {}

  /** The parameter of that name, placed at the arena's end when it is first asked for. */
  Slot slot(
      String layer,
      String name,
      int copies,
      long rows,
      long columns,
      Parameter.Init init,
      int streamLayer) {
    return slot(new Parameter(layer, name, copies, rows, columns, size, init, streamLayer, 0));
  }

  /** A row that starts at one value. */
  Slot slot(String layer, String name, long rows, long columns, double constant, int streamLayer) {
    Parameter.Init init = constant == 0 ? Parameter.Init.ZERO : Parameter.Init.CONSTANT;
    return slot(new Parameter(layer, name, 1, rows, columns, size, init, streamLayer, constant));
  }

  private Slot slot(Parameter wanted) {
    return slots.computeIfAbsent(
        wanted.fullName(),
        full -> {
          size = Math.addExact(size, Memory.align(wanted.size()));
          long allRows = Math.multiplyExact(wanted.copies(), wanted.rows());
          return new Slot(
              wanted, new Buffer(full, Region.PARAMETERS, allRows, wanted.columns(), false));
        });
  }

  List<Parameter> all() {
    List<Parameter> all = new ArrayList<>();
    for (Slot slot : slots.values()) {
      all.add(slot.parameter());
    }
    return all;
  }

  long size() {
    return size;
  }
}
