package dev.topknot.processor.model;

import java.util.List;

/**
 * The name of an annotated interface.
 *
 * @param packageName its package, empty for the unnamed one
 * @param simpleNames its simple names, outermost first: {@code [Outer, Inner]}
 */
public record SpecName(String packageName, List<String> simpleNames) {
  /** Copies the names. */
  public SpecName {
    simpleNames = List.copyOf(simpleNames);
  }

  /** The name as source code writes it within the package: {@code Outer.Inner}. */
  public String nested() {
    return String.join(".", simpleNames);
  }

  /** The name with underscores, from which generated names are made: {@code Outer_Inner}. */
  public String flat() {
    return String.join("_", simpleNames);
  }

  /** The generated entry class: {@code TopknotOuter_Inner}. */
  public String entry() {
    return "Topknot" + flat();
  }

  /** The generated entry class's qualified name: {@code com.example.TopknotOuter_Inner}. */
  public String qualifiedEntry() {
    return inPackage(entry());
  }

  /** The qualified name of a top-level type beside this one. */
  public String inPackage(String simpleName) {
    return packageName.isEmpty() ? simpleName : packageName + "." + simpleName;
  }

  /** The generated CPU programs: {@code TopknotOuter_InnerCpu}. */
  public String cpu() {
    return entry() + "Cpu";
  }

  /** The generated CUDA programs: {@code TopknotOuter_InnerCuda}. */
  public String cuda() {
    return entry() + "Cuda";
  }

  /** The qualified name: {@code com.example.Outer.Inner}. */
  public String qualified() {
    return inPackage(nested());
  }
}
