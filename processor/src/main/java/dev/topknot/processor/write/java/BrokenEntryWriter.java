package dev.topknot.processor.write.java;

import static javax.lang.model.element.Modifier.FINAL;
import static javax.lang.model.element.Modifier.PRIVATE;
import static javax.lang.model.element.Modifier.PUBLIC;
import static javax.lang.model.element.Modifier.STATIC;

import com.palantir.javapoet.ClassName;
import com.palantir.javapoet.FieldSpec;
import com.palantir.javapoet.MethodSpec;
import com.palantir.javapoet.TypeSpec;
import dev.topknot.processor.model.SpecName;
import java.util.List;

/**
 * Writes the entry class of an interface that has errors: the same constants and ways in, so that
 * the compiler finds what users mention, and methods that throw.
 */
final class BrokenEntryWriter {
  private final SpecName name;
  private final boolean isModel;
  private final ClassName spec;

  BrokenEntryWriter(SpecName name, boolean isModel) {
    this.name = name;
    this.isModel = isModel;
    this.spec = EntryWriter.className(name);
  }

  TypeSpec write(boolean isPublic) {
    TypeSpec.Builder type =
        TypeSpec.classBuilder(name.entry())
            .addModifiers(FINAL)
            .addJavadoc("{@link $T} has errors; this says so.\n", spec);
    if (isPublic) {
      type.addModifiers(PUBLIC);
    }
    List<String> constants =
        isModel
            ? List.of("BATCH", "TIMESTEPS", "TOKENS", "VOCABULARY")
            : List.of("EXPERTS", "K", "WIDTH", "TOKENS", "HIDDEN");
    constants.forEach(constant -> type.addField(constant(constant, int.class, "1")));
    type.addField(constant("PARAMETERS", long.class, "1L"));
    type.addMethod(MethodSpec.constructorBuilder().addModifiers(PRIVATE).build());
    type.addMethod(factory().build());
    type.addMethod(factory().addParameter(long.class, "seed").build());
    type.addMethod(
        factory()
            .addParameter(long.class, "seed")
            .addParameter(RuntimeNames.OPTIONS, "options")
            .build());
    if (!isModel) {
      type.addMethod(throwing("part").addParameter(RuntimeNames.MOE, "layer").build());
    }
    return type.build();
  }

  private static FieldSpec constant(String constant, Class<?> type, String value) {
    return FieldSpec.builder(type, constant, PUBLIC, STATIC, FINAL).initializer(value).build();
  }

  private MethodSpec.Builder factory() {
    return throwing("on").addParameter(RuntimeNames.DEVICE, "device");
  }

  private MethodSpec.Builder throwing(String method) {
    return MethodSpec.methodBuilder(method)
        .addModifiers(PUBLIC, STATIC)
        .returns(spec)
        .addStatement(
            "throw new $T($S)",
            IllegalStateException.class,
            name.nested() + " has errors: see the messages of its compilation");
  }
}
