package dev.topknot.processor.plan;

import dev.topknot.processor.model.Spec;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/**
 * A spec, compiled: parameters, programs, memory.
 *
 * @param parameters in the order they lie in the arena
 * @param parameterArena the size of the parameter arena in elements, alignment included
 */
public record Plan(
    Spec spec,
    List<Parameter> parameters,
    long parameterArena,
    List<ProgramPlan> programs,
    Counts counts) {
  /** Copies the lists. */
  public Plan {
    parameters = List.copyOf(parameters);
    programs = List.copyOf(programs);
  }

  /** The program, which the spec has. */
  public ProgramPlan program(Program program) {
    return programs.stream().filter(p -> p.program() == program).findFirst().orElseThrow();
  }

  /** The offset of a parameter's buffer, or of its gradient's, within its arena in elements. */
  public long offset(Buffer buffer) {
    for (Parameter parameter : parameters) {
      if (parameter.fullName().equals(buffer.name())) {
        return parameter.offset();
      }
    }
    throw new IllegalArgumentException("not a parameter: " + buffer);
  }

  /** The number of parameters, alignment not counted. */
  public long parameterCount() {
    return parameters.stream().mapToLong(Parameter::size).sum();
  }

  /** What an instance that trains takes, largest first. */
  public List<Share> shares() {
    List<Share> shares = new ArrayList<>();
    long arena = parameterArena * Buffer.ELEMENT_BYTES;
    shares.add(new Share("parameters", arena));
    shares.add(new Share("gradients", arena));
    for (Buffer moment : OptimizerOp.of(this).map(OptimizerOp::moments).orElse(List.of())) {
      String name = moment.region().name().toLowerCase(Locale.ROOT).replace('_', ' ');
      shares.add(new Share(name, moment.bytes()));
    }
    for (ProgramPlan program : programs) {
      long elements = program.workspace().size() + program.state().size();
      shares.add(
          new Share(
              "workspace for " + program.program().activity(), elements * Buffer.ELEMENT_BYTES));
    }
    shares.sort(Comparator.comparingLong(share -> -share.bytes()));
    return shares;
  }

  /** What an instance that trains takes, in bytes. */
  public long bytes() {
    return shares().stream().mapToLong(Share::bytes).sum();
  }

  /** The largest buffers of the training program, largest first. */
  public List<Share> largestBuffers(int count) {
    List<Share> buffers = new ArrayList<>();
    for (Parameter parameter : parameters) {
      buffers.add(new Share(parameter.fullName(), parameter.size() * Buffer.ELEMENT_BYTES));
    }
    for (Memory.Placement placement : program(Program.TRAIN).workspace().placements()) {
      buffers.add(new Share(placement.buffer().name(), placement.buffer().bytes()));
    }
    buffers.sort(Comparator.comparingLong(share -> -share.bytes()));
    return buffers.subList(0, Math.min(count, buffers.size()));
  }

  /** A part of the memory. */
  public record Share(String name, long bytes) {}
}
