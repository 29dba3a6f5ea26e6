package dev.topknot.processor.read;

import com.sun.source.tree.AnnotationTree;
import com.sun.source.tree.AssignmentTree;
import com.sun.source.tree.BlockTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.ExpressionTree;
import com.sun.source.tree.IdentifierTree;
import com.sun.source.tree.MemberSelectTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.ModifiersTree;
import com.sun.source.tree.NewArrayTree;
import com.sun.source.tree.NewClassTree;
import com.sun.source.tree.Tree;
import com.sun.source.util.TreePath;
import com.sun.source.util.TreeScanner;
import com.sun.source.util.Trees;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;
import javax.annotation.processing.ProcessingEnvironment;
import javax.lang.model.element.Element;
import javax.tools.Diagnostic;

/** The compiler's syntax trees, where it is javac and lets us see them. */
final class SourceTrees {
  private final Trees trees;

  private SourceTrees(Trees trees) {
    this.trees = trees;
  }

  /**
   * The trees of a compilation.
   *
   * @throws IllegalArgumentException under another compiler
   * @throws LinkageError where javac's classes are not there at all
   */
  static SourceTrees of(ProcessingEnvironment environment) {
    return new SourceTrees(Trees.instance(environment));
  }

  /**
   * The interfaces and classes within the methods and the anonymous classes of a type that bear one
   * of the annotations; the compiler shows them to no processor. Imported annotations are known by
   * their simple names only.
   */
  List<Local> locals(Element type, Set<String> annotations) {
    TreePath path = trees.getPath(type);
    if (path == null) {
      return List.of();
    }
    boolean imported = importsTopknot(path.getCompilationUnit());
    List<Local> found = new ArrayList<>();
    new TreeScanner<Void, Boolean>() {
      @Override
      public Void visitClass(ClassTree node, Boolean local) {
        if (local) {
          node.getModifiers().getAnnotations().stream()
              .filter(it -> annotations.contains(simpleName(it.getAnnotationType())))
              .filter(it -> imported || isTopknot(it.getAnnotationType()))
              .findFirst()
              .ifPresent(it -> found.add(local(node, it, path.getCompilationUnit())));
        }
        return super.visitClass(node, local);
      }

      @Override
      public Void visitNewClass(NewClassTree node, Boolean local) {
        return super.visitNewClass(node, true);
      }

      @Override
      public Void visitBlock(BlockTree node, Boolean local) {
        return super.visitBlock(node, true);
      }
    }.scan(path.getLeaf(), false);
    return found;
  }

  private Local local(ClassTree type, AnnotationTree annotation, CompilationUnitTree unit) {
    return new Local(
        type.getSimpleName().toString(),
        (kind, message) -> trees.printMessage(kind, message, annotation, unit));
  }

  private static boolean importsTopknot(CompilationUnitTree unit) {
    return unit.getImports().stream().anyMatch(it -> isTopknot(it.getQualifiedIdentifier()));
  }

  private static boolean isTopknot(Tree qualifiedName) {
    return qualifiedName.toString().startsWith("dev.topknot.");
  }

  /** An annotated type within a method, and how to print on its annotation. */
  record Local(String name, BiConsumer<Diagnostic.Kind, String> printer) {}

  /**
   * Prints on one of several annotations of the same type.
   *
   * @param path the annotation, then its attribute and an array index where there are any
   * @return whether there is such a place
   */
  boolean print(Diagnostic.Kind kind, String message, Place place, List<String> path) {
    TreePath declaration = trees.getPath(place.element());
    if (declaration == null) {
      return false;
    }
    String type = path.get(0).substring(path.get(0).indexOf('@') + 1);
    List<? extends AnnotationTree> annotations =
        modifiers(declaration.getLeaf()).stream()
            .flatMap(it -> it.getAnnotations().stream())
            .filter(it -> simpleName(it.getAnnotationType()).equals(type))
            .toList();
    if (annotations.size() < place.ordinal()) {
      return false;
    }
    AnnotationTree annotation = annotations.get(place.ordinal() - 1);
    trees.printMessage(kind, message, within(annotation, path), declaration.getCompilationUnit());
    return true;
  }

  /** The attribute's value and its element, or the annotation where they cannot be found. */
  private static Tree within(AnnotationTree annotation, List<String> path) {
    Tree place = annotation;
    if (path.size() > 1) {
      for (ExpressionTree argument : annotation.getArguments()) {
        if (argument instanceof AssignmentTree assignment
            && simpleName(assignment.getVariable()).equals(path.get(1))) {
          place = assignment.getExpression();
        }
      }
    }
    if (path.size() > 2 && place instanceof NewArrayTree array) {
      place = array.getInitializers().get(Integer.parseInt(path.get(2)));
    }
    return place;
  }

  private static Optional<ModifiersTree> modifiers(Tree declaration) {
    if (declaration instanceof ClassTree type) {
      return Optional.of(type.getModifiers());
    }
    return declaration instanceof MethodTree method
        ? Optional.of(method.getModifiers())
        : Optional.empty();
  }

  private static String simpleName(Tree name) {
    if (name instanceof MemberSelectTree select) {
      return select.getIdentifier().toString();
    }
    return name instanceof IdentifierTree identifier ? identifier.getName().toString() : "";
  }
}
