package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/** A layer that leaves everything to another; generated entry classes extend it. */
public abstract class ForwardingMoE implements MoE {
  private final MoE delegate;

  /** Forwards to {@code delegate}. */
  protected ForwardingMoE(MoE delegate) {
    this.delegate = Objects.requireNonNull(delegate, "delegate");
  }

  /** Who does the work. */
  protected final MoE delegate() {
    return delegate;
  }

  @Override
  public String name() {
    return delegate.name();
  }

  @Override
  public List<Parameter> parameters() {
    return delegate.parameters();
  }

  @Override
  public void freeze(boolean frozen) {
    delegate.freeze(frozen);
  }

  @Override
  public boolean frozen() {
    return delegate.frozen();
  }

  @Override
  public void forward(Tensor x, Tensor y) {
    delegate.forward(x, y);
  }

  @Override
  public void backward(Tensor dy, Tensor dx) {
    delegate.backward(dy, dx);
  }

  @Override
  public void accumulate(Tensor dy, Tensor dx) {
    delegate.accumulate(dy, dx);
  }

  @Override
  public double update(Update update) {
    return delegate.update(update);
  }

  @Override
  public void infer(Tensor x, Tensor y) {
    delegate.infer(x, y);
  }

  @Override
  public Balance balance() {
    return delegate.balance();
  }

  @Override
  public long step() {
    return delegate.step();
  }

  @Override
  public void save(Path path) throws IOException {
    delegate.save(path);
  }

  @Override
  public void load(Path path) throws IOException {
    delegate.load(path);
  }

  @Override
  public MoE inference() {
    return delegate.inference();
  }

  @Override
  public void close() {
    delegate.close();
  }

  @Override
  public String toString() {
    return delegate.toString();
  }
}
