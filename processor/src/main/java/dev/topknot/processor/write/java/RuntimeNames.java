package dev.topknot.processor.write.java;

import com.palantir.javapoet.ClassName;
import dev.topknot.processor.model.RuntimeTypes;

/** The runtime's types by name; the processor does not depend on the runtime. */
final class RuntimeNames {
  static final ClassName DEVICE = runtime("Device");
  static final ClassName OPTIONS = runtime("Options");
  static final ClassName LAYER = runtime("Layer");
  static final ClassName MOE = runtime("MoE");
  static final ClassName LANGUAGE_MODEL = runtime("LanguageModel");
  static final ClassName BALANCE = runtime("Balance");
  static final ClassName ROUTING = runtime("Routing");

  static final ClassName LAYOUT = program("Layout");
  static final ClassName LAYOUT_ENTRY = LAYOUT.nestedClass("Entry");
  static final ClassName INIT = program("Init");
  static final ClassName MODEL_SHAPE = program("ModelShape");
  static final ClassName MOE_SHAPE = program("MoEShape");
  static final ClassName MODEL_INSTANCE = program("ModelInstance");
  static final ClassName MOE_INSTANCE = program("MoEInstance");
  static final ClassName FORWARDING_LANGUAGE_MODEL = program("ForwardingLanguageModel");
  static final ClassName FORWARDING_MOE = program("ForwardingMoE");

  static final ClassName RUN = cpu("Run");
  static final ClassName CPU_CONTEXT = cpu("CpuContext");
  static final ClassName CPU_PROGRAM = cpu("CpuProgram");
  static final ClassName PROGRAM = program("Program");
  static final ClassName PHASE = program("Phase");
  static final ClassName PRODUCT = PHASE.nestedClass("Product");
  static final ClassName CPU_MODEL = cpu("CpuModel");
  static final ClassName CPU_MOE = cpu("CpuMoE");
  static final ClassName MATRIX = cpu("Matrix");
  static final ClassName INTS = cpu("Ints");

  static final ClassName LAUNCHES = cuda("Launches");
  static final ClassName CUDA_CONTEXT = cuda("CudaContext");
  static final ClassName CUDA_PROGRAM = cuda("CudaProgram");
  static final ClassName CUDA_MODEL = cuda("CudaModel");
  static final ClassName CUDA_MOE = cuda("CudaMoE");
  static final ClassName GATED = cuda("Gated");
  static final ClassName CHOSEN = cuda("Chosen");

  private RuntimeNames() {}

  private static ClassName runtime(String name) {
    return ClassName.get(RuntimeTypes.PACKAGE, name);
  }

  private static ClassName program(String name) {
    return ClassName.get(RuntimeTypes.PROGRAM, name);
  }

  private static ClassName cuda(String name) {
    return ClassName.get(RuntimeTypes.CUDA, name);
  }

  /** A type of the CPU device: an op's class, or what ops are built with. */
  static ClassName cpu(String name) {
    return ClassName.get(RuntimeTypes.CPU, name);
  }
}
