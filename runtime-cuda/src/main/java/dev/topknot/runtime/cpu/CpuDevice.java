package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Device;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.program.Program;
import java.nio.FloatBuffer;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/** The processors of this machine: a number of threads and a matrix product. */
public final class CpuDevice extends Device {
  private static final ConcurrentMap<Integer, CpuDevice> DEVICES = new ConcurrentHashMap<>();

  private final Cpu cpu;

  /** The clocks of the programs that were opened last, where steps are timed; else null. */
  private final Map<Program, StepClock> clocks;

  private CpuDevice(int threads, Map<Program, StepClock> clocks) {
    this.cpu = Cpu.of(threads);
    this.clocks = clocks;
  }

  /**
   * The device of so many threads; the same object for the same number.
   *
   * @throws IllegalArgumentException if {@code threads} is not positive
   */
  public static CpuDevice of(int threads) {
    return DEVICES.computeIfAbsent(threads, it -> new CpuDevice(it, null));
  }

  /** A device of its own that times the steps of the programs that are opened on it. */
  static CpuDevice timing(int threads) {
    return new CpuDevice(threads, new EnumMap<>(Program.class));
  }

  /** A clock for a program that is being opened; null where steps are not timed. */
  StepClock clock(Program kind, CpuProgram program) {
    if (clocks == null) {
      return null;
    }
    StepClock clock = new StepClock(program.phases());
    clocks.put(kind, clock);
    return clock;
  }

  /** The clock of the program that was opened last. */
  StepClock clock(Program kind) {
    return clocks.get(kind);
  }

  /** A tensor over a direct buffer; see {@link Tensor#wrap}. */
  public static Tensor wrap(FloatBuffer direct, long... shape) {
    long size = Tensor.size(shape);
    if (direct.remaining() != size) {
      throw new IllegalArgumentException(
          "expected a buffer with " + size + " floats remaining, got " + direct.remaining());
    }
    Matrix matrix = Matrix.wrap(direct, CpuTensor.rows(shape), CpuTensor.columns(shape));
    return new CpuTensor(Device.cpu(), matrix, null, shape);
  }

  /** Threads and matrix product. */
  public Cpu hardware() {
    return cpu;
  }

  @Override
  public String name() {
    int threads = cpu.workers().threads();
    return "CPU with " + threads + (threads == 1 ? " thread" : " threads");
  }

  @Override
  public Tensor tensor(long... shape) {
    Arena arena = Arena.allocate(Tensor.size(shape));
    Matrix matrix = arena.matrix(0, CpuTensor.rows(shape), CpuTensor.columns(shape));
    return new CpuTensor(this, matrix, arena, shape);
  }
}
