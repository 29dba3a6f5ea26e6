import java.nio.file.FileVisitResult
import java.nio.file.FileVisitor
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.SimpleFileVisitor
import java.nio.file.StandardCopyOption
import java.nio.file.attribute.BasicFileAttributes

// The build's sources: neither outputs, nor what no library is made of.
def root = new File(basedir, '../../../..').canonicalFile.toPath()
def skipped = ['target', '.git', 'test'] as Set
def copied = ['pom.xml', '.mvn', 'dsl-annotations', 'processor', 'runtime-cuda', 'samples', 'it-tests/pom.xml']
for (name in copied) {
  Files.walkFileTree(root.resolve(name), new SimpleFileVisitor<Path>() {
    FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
      skipped.contains(directory.fileName.toString())
          ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE
    }

    FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      def copy = basedir.toPath().resolve(root.relativize(file).toString())
      Files.createDirectories(copy.parent)
      Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING)
      FileVisitResult.CONTINUE
    }
  })
}

return true
