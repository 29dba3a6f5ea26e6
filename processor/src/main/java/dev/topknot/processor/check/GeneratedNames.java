package dev.topknot.processor.check;

import dev.topknot.processor.diagnostic.Findings;
import dev.topknot.processor.diagnostic.Problem;
import dev.topknot.processor.model.Declaration;
import dev.topknot.processor.model.SpecName;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The names of a compilation: no two classes may have the same. */
public final class GeneratedNames {
  private final Set<String> sources = new HashSet<>();
  private final Map<String, SpecName> owners = new HashMap<>();

  /** A top-level type of the compilation, of the user's own or of another processor. */
  public void source(String qualified) {
    if (!owners.containsKey(qualified)) {
      sources.add(qualified);
    }
  }

  /** Whether a top-level type's source is part of the compilation. */
  public boolean isSource(String qualified) {
    return sources.contains(qualified);
  }

  /** Takes the names that a declaration would generate, and reports those that it cannot have. */
  public void check(Declaration declaration, Findings findings) {
    SpecName name = declaration.name();
    for (String simple : List.of(name.entry(), name.cpu(), name.cuda())) {
      String generated = name.inPackage(simple);
      SpecName owner = owners.getOrDefault(generated, name);
      if (sources.contains(generated)) {
        findings.add(Problem.GENERATED_NAME_TAKEN, declaration.site(), name.nested(), generated);
      } else if (!owner.qualified().equals(name.qualified())) {
        findings.add(
            Problem.SAME_GENERATED_NAME,
            declaration.site(),
            name.nested(),
            owner.nested(),
            generated);
      } else {
        owners.put(generated, name);
      }
    }
  }

  /** Whether a declaration has its entry class's name for itself. */
  public boolean owns(SpecName name) {
    return name.equals(owners.get(name.qualifiedEntry()));
  }
}
