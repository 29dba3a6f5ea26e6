import java.util.spi.ToolProvider

// The same sources with the processor on the processor module path.
def jar = { artifact ->
  def folder = new File(localRepositoryPath, "dev/topknot/${artifact}/${version}")
  new File(folder, "${artifact}-${version}.jar").path
}
def libraries = []
new File(localRepositoryPath, '.').eachFileRecurse { file ->
  def wanted = ['bytedeco', 'slf4j-api', 'jna-jpms', 'jackson-core'].any { file.path.contains(it) }
  if (wanted && file.name.endsWith('.jar')) {
    libraries << file.path
  }
}
libraries += [jar('topknot-runtime-cuda'), jar('topknot-dsl-annotations')]
def processors = [jar('topknot-processor'), jar('topknot-dsl-annotations')]
def classes = new File(basedir, 'target/module-path-classes')
classes.mkdirs()

def out = new StringWriter()
def code = ToolProvider.findFirst('javac').get().run(new PrintWriter(out), new PrintWriter(out),
    '--release', '17', '-Xlint:all,-processing', '-Werror', '-d', classes.path,
    '--module-path', libraries.join(File.pathSeparator),
    '--processor-module-path', processors.join(File.pathSeparator),
    new File(basedir, 'src/main/java/module-info.java').path,
    new File(basedir, 'src/main/java/demo/Experts.java').path)
assert code == 0 : out
assert new File(classes, 'demo/TopknotExperts.class').file
return true
