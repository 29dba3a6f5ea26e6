import java.nio.file.Files

def root = new File(basedir, '../../../..').canonicalFile
def jars = [
  'dsl-annotations/target/topknot-dsl-annotations',
  'processor/target/topknot-processor',
  'runtime-cuda/target/topknot-runtime-cuda',
  'samples/language-model/target/topknot-samples-lm',
].collect { "${it}-${version}.jar" }

for (jar in jars) {
  def at = Files.mismatch(new File(root, jar).toPath(), new File(basedir, jar).toPath())
  assert at == -1L : "${jar}: the two builds differ from byte ${at} on"
}

return true
