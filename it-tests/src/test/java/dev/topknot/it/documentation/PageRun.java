package dev.topknot.it.documentation;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import org.junit.jupiter.api.Test;

/** What the JVM of a page starts with: runs the page's statements, and its JUnit tests. */
final class PageRun {
  private PageRun() {}

  /** Runs the classes with these names. */
  public static void main(String[] names) throws Throwable {
    for (String name : names) {
      Class<?> type = Class.forName(name);
      for (Method method : type.getDeclaredMethods()) {
        method.setAccessible(true);
        if (method.isAnnotationPresent(Test.class)) {
          Constructor<?> constructor = type.getDeclaredConstructor();
          constructor.setAccessible(true);
          call(method, constructor.newInstance());
        } else if (type.getSimpleName().equals(Snippets.STATEMENTS)
            && method.getName().equals(Snippets.METHOD)) {
          call(method, null);
        }
      }
    }
  }

  private static void call(Method method, Object target) throws Throwable {
    try {
      method.invoke(target);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }
}
