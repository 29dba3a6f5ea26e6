package dev.topknot.benchmark;

import java.util.List;

/** Who computes. All but Topknot are peers that it is measured against. */
enum Side {
  /** This project. */
  TOPKNOT("Topknot") {
    @Override
    Peer open(Workload workload, int threads) {
      if (workload instanceof Workload.Layer layer) {
        return new TopknotLayer(layer, threads);
      }
      return new TopknotModel((Workload.Model) workload, threads);
    }
  },
  /** DJL on PyTorch; its threads are an option of its JVM. */
  DJL("DJL") {
    @Override
    Peer open(Workload workload, int threads) {
      if (workload instanceof Workload.Layer layer) {
        return new DjlLayer(layer);
      }
      return new DjlModel((Workload.Model) workload);
    }
  },
  /** PyTorch's C++ library, called through JavaCPP: layers. */
  LIBTORCH("libtorch") {
    @Override
    Peer open(Workload workload, int threads) {
      return new LibtorchLayer((Workload.Layer) workload, threads);
    }

    @Override
    boolean supports(Workload workload, Task task) {
      return workload instanceof Workload.Layer;
    }
  },
  /** Layers, forward only, and no larger than Java's buffers. */
  ONNX_RUNTIME("ONNX Runtime") {
    @Override
    Peer open(Workload workload, int threads) {
      return new OnnxRuntimeLayer((Workload.Layer) workload, threads);
    }

    @Override
    boolean supports(Workload workload, Task task) {
      return workload instanceof Workload.Layer layer
          && task == Task.FORWARD
          && layer.matrixBytes() <= Integer.MAX_VALUE;
    }
  };

  private final String words;

  Side(String words) {
    this.words = words;
  }

  /** Makes what computes a workload, of which it supports a task. */
  abstract Peer open(Workload workload, int threads);

  /** Whether it can do the task. */
  boolean supports(Workload workload, Task task) {
    return true;
  }

  /** The tasks of a workload that it can do. */
  List<Task> tasks(Workload workload) {
    return workload.tasks().stream().filter(task -> supports(workload, task)).toList();
  }

  @Override
  public String toString() {
    return words;
  }
}
