package dev.topknot.it.architecture;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.ArchRule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Who may import whom. Reads the modules' class folders and not their jars, in which the
 * processor's libraries have other names.
 */
class ImportRulesTest {
  private static final String PROCESSOR = "dev.topknot.processor";
  private static final String RUNTIME = "dev.topknot.runtime";
  private static final String TEXT = "dev.topknot.text";
  private static final String DSL = "dev.topknot.dsl";

  private static JavaClasses project;

  @BeforeAll
  static void read() {
    project =
        new ClassFileImporter()
            .importPaths(
                Stream.of("dsl-annotations", "processor", "runtime-cuda", "samples/language-model")
                    .map(module -> Path.of("..", module, "target", "classes"))
                    .toList());
    assertThat(project).isNotEmpty();
  }

  /** What a package of the processor may use of the other packages of the processor. */
  @ParameterizedTest(name = "{0} imports {1}")
  @CsvSource({
    "model,''",
    "diagnostic,model",
    "read,model diagnostic",
    "check,model diagnostic",
    "plan,model",
    "write.cuda,model plan",
    "write.java,model plan",
    "write.report,model plan",
  })
  void packagesOfTheProcessor(String name, String imports) {
    String own = PROCESSOR + "." + name;
    List<String> allowed =
        Stream.concat(
                Stream.of(own), Stream.of(imports.split(" ")).map(part -> PROCESSOR + "." + part))
            .toList();
    holds(
        noClasses()
            .that()
            .resideInAPackage(own)
            .should()
            .dependOnClassesThat(
                resideInAPackage(PROCESSOR + "..")
                    .and(not(resideInAnyPackage(allowed.toArray(String[]::new)))))
            .because("each stage knows the ones before it only"));
  }

  /** The words of the DSL are all that the processor shares with the other modules. */
  @Test
  void theProcessorKnowsTheRuntimeByNameOnly() {
    holds(
        noClasses()
            .that()
            .resideInAPackage(PROCESSOR + "..")
            .should()
            .dependOnClassesThat(
                resideInAPackage("dev.topknot..")
                    .and(resideOutsideOfPackage(PROCESSOR + ".."))
                    .and(resideOutsideOfPackage(DSL))));
  }

  @Test
  void theNamesOfTheRuntimeAreKeptInOneClass() throws IOException {
    Path sources = Path.of("../processor/src/main/java");
    try (Stream<Path> files = Files.walk(sources)) {
      List<Path> naming =
          files
              .filter(file -> file.toString().endsWith(".java"))
              .filter(file -> contains(file, "\"" + RUNTIME))
              .map(Path::getFileName)
              .toList();
      assertThat(naming).as("classes that name the runtime in a string").hasSize(1);
    }
  }

  @Test
  void theSpecAndThePlanAreFreeOfTheCompiler() {
    holds(
        noClasses()
            .that()
            .resideInAnyPackage(PROCESSOR + ".model", PROCESSOR + ".check", PROCESSOR + ".plan")
            .should()
            .dependOnClassesThat(
                resideInAnyPackage(
                    "javax.lang.model..", "javax.annotation.processing..", "com.sun.source..")));
  }

  @Test
  void javaPoetIsUsedWhereJavaIsWritten() {
    holds(onlyIn(PROCESSOR + ".write.java", "com.palantir.javapoet.."));
  }

  @Test
  void theBlasBindingIsUsedByTheCpuDevice() {
    holds(onlyIn(RUNTIME + ".cpu", "org.bytedeco.."));
  }

  @Test
  void theDriversBindingIsUsedByTheCudaDevice() {
    holds(onlyIn(RUNTIME + ".cuda", "jcuda.."));
  }

  @Test
  void librariesAreBoundByTheDevices() {
    holds(
        noClasses()
            .that()
            .resideOutsideOfPackages(RUNTIME + ".cpu", RUNTIME + ".cuda")
            .should()
            .dependOnClassesThat(resideInAnyPackage("com.sun.jna..")));
  }

  @Test
  void theAnnotationsDependOnNothing() {
    holds(
        classes()
            .that()
            .resideInAPackage(DSL)
            .should()
            .onlyDependOnClassesThat(resideInAnyPackage(DSL, "java.lang..")));
  }

  @Test
  void theRuntimeDependsOnNoOtherModuleThanTheAnnotations() {
    holds(
        noClasses()
            .that()
            .resideInAnyPackage(RUNTIME + "..", TEXT)
            .should()
            .dependOnClassesThat(
                resideInAPackage("dev.topknot..")
                    .and(not(resideInAnyPackage(RUNTIME + "..", TEXT, DSL)))));
  }

  /** A language-model project has what it needs in the public types, and so has this one. */
  @Test
  void textIsAUserOfTheRuntime() {
    holds(
        noClasses()
            .that()
            .resideInAPackage(TEXT)
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(RUNTIME + ".cpu", RUNTIME + ".cuda", RUNTIME + ".program"));
    holds(
        noClasses()
            .that()
            .resideInAPackage(RUNTIME + "..")
            .should()
            .dependOnClassesThat()
            .resideInAPackage(TEXT));
  }

  @Test
  void nobodyUsesUnsafe() {
    holds(noClasses().should().dependOnClassesThat().haveFullyQualifiedName("sun.misc.Unsafe"));
  }

  private static ArchRule onlyIn(String home, String... library) {
    DescribedPredicate<JavaClass> elsewhere = resideOutsideOfPackage(home);
    return noClasses()
        .that(elsewhere)
        .should()
        .dependOnClassesThat(resideInAnyPackage(library))
        .because("only " + home + " may use " + String.join(" and ", library));
  }

  private static void holds(ArchRule rule) {
    rule.check(project);
  }

  private static boolean contains(Path file, String text) {
    try {
      return Files.readString(file).contains(text);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }
}
