// A JDK 25 that this JVM runs on, that the environment names, or that stands at the usual place.
def named = System.getenv().findAll { it.key ==~ /(JAVA_HOME|JDK)_?25.*/ }.values()
def installed = new File('/usr/lib/jvm').listFiles({ it.name.contains('25') } as FileFilter) ?: []
def jdk = ([System.getProperty('java.home')] + named + installed*.path).find { home ->
  def release = new File(home, 'release')
  new File(home, 'bin/javac').canExecute() && release.file &&
      release.text.contains('JAVA_VERSION="25')
}

if (jdk == null) {
  println 'No JDK 25 found: set JAVA_HOME_25 to try this project.'
  return false
}
new File(basedir, 'test.properties').text = "jdk25=${jdk}\n"
return true
