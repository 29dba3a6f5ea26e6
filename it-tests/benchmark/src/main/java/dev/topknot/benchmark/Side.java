package dev.topknot.benchmark;

/** Who computes. */
enum Side {
  /** This project. */
  TOPKNOT {
    @Override
    Peer open(Workload workload, int threads) {
      if (workload instanceof Workload.Layer layer) {
        return new TopknotLayer(layer, threads);
      }
      return new TopknotModel((Workload.Model) workload, threads);
    }
  },
  /** DJL on PyTorch; its threads are an option of its JVM. */
  DJL {
    @Override
    Peer open(Workload workload, int threads) {
      if (workload instanceof Workload.Layer layer) {
        return new DjlLayer(layer);
      }
      return new DjlModel((Workload.Model) workload);
    }
  };

  /** Makes what computes a workload. */
  abstract Peer open(Workload workload, int threads);
}
