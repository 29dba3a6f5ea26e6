import java.util.zip.ZipFile

// With nvcc the jar holds the kernels; without it the log says so, in one line.
def images = ['Experts.sm_90a.cubin', 'Experts.compute_80.ptx', 'Experts.built']
def nvcc = System.getenv('PATH').split(File.pathSeparator).any { new File(it, 'nvcc').canExecute() }
def jar = new ZipFile(new File(basedir, 'target/kernels-ahead-1.jar'))
def found = jar.entries().collect { it.name }.findAll { name -> images.any { name.endsWith(it) } }
jar.close()
def log = new File(basedir, 'build.log').text
if (nvcc) {
  assert found.toSet() == images.collect { 'demo/' + it }.toSet()
  assert log.contains('of 1 sources 2 images built, 0 up to date')
} else {
  println 'SKIPPED: no nvcc on the PATH: no kernels were built ahead.'
  assert found.empty
  assert log.contains('Topknot built no kernels ahead: nvcc: it is not on the PATH')
}
return true
