package dev.topknot.it.reference;

/** A forward pass that has been run and can be differentiated. */
public interface Pass {
  /** The output of the forward pass. */
  Matrix y();

  /** The gradients of ⟨y, dy⟩ plus the pass's own losses, if it has any. */
  Gradients backward(Matrix dy);
}
