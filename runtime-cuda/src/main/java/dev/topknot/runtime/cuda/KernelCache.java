package dev.topknot.runtime.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Machine code on disk, in a directory of this user alone. An entry is its SHA-256 and its bytes;
 * it is written under another name and renamed, so that any number of processes may read and write.
 * An entry that is not what its hash says is deleted. A cache that cannot be used costs time only.
 */
final class KernelCache {
  private static final Logger LOG = LoggerFactory.getLogger(KernelCache.class);
  private static final int HASH = 32;

  /** Belongs to whom this process belongs to. */
  private static final Path SELF = Path.of("/proc/self");

  private final Path directory;

  KernelCache(Path directory) {
    this.directory = directory;
  }

  /**
   * The user's: {@code topknot/kernels} in what the system property {@code topknot.cache}, else the
   * variable {@code XDG_CACHE_HOME}, names, else in {@code ~/.cache}.
   */
  static KernelCache ofUser() {
    String root = System.getProperty("topknot.cache", System.getenv("XDG_CACHE_HOME"));
    Path base =
        root == null || root.isEmpty()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(root);
    return new KernelCache(base.resolve("topknot").resolve("kernels"));
  }

  /** Its directory. */
  Path where() {
    return directory;
  }

  /** An entry, if it is there and whole. */
  Optional<byte[]> read(String key) {
    Path file = file(key);
    try {
      if (!isPrivate() || !Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
        return Optional.empty();
      }
      byte[] all = Files.readAllBytes(file);
      byte[] image = Arrays.copyOfRange(all, Math.min(HASH, all.length), all.length);
      if (Arrays.equals(Arrays.copyOf(all, HASH), hash(image))) {
        return Optional.of(image);
      }
      LOG.warn("{} is damaged; it is made again", file);
      Files.deleteIfExists(file);
    } catch (IOException e) {
      LOG.warn("{} cannot be read: {}", file, e.toString());
    }
    return Optional.empty();
  }

  /** Keeps an entry if that can be done. */
  void write(String key, byte[] image) {
    try {
      Files.createDirectories(directory.getParent());
      if (!Files.exists(directory)) {
        createPrivate();
      }
      if (!isPrivate()) {
        LOG.warn("{} is not used: others may write to it", directory);
        return;
      }
      Path fresh = Files.createTempFile(directory, key, ".new"); // 0600 by its contract
      try {
        byte[] all = Arrays.copyOf(hash(image), HASH + image.length);
        System.arraycopy(image, 0, all, HASH, image.length);
        Files.write(fresh, all);
        Files.move(fresh, file(key), StandardCopyOption.ATOMIC_MOVE);
      } finally {
        Files.deleteIfExists(fresh);
      }
    } catch (IOException e) {
      LOG.warn("the compiled kernels cannot be kept in {}: {}", directory, e.toString());
    }
  }

  private void createPrivate() throws IOException {
    try {
      Files.createDirectory(
          directory,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } catch (java.nio.file.FileAlreadyExistsException e) {
      LOG.debug("another process made {} at the same time", directory);
    }
  }

  /** Whether nobody else can put machine code into the directory. */
  private boolean isPrivate() throws IOException {
    if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
    return !permissions.contains(PosixFilePermission.GROUP_WRITE)
        && !permissions.contains(PosixFilePermission.OTHERS_WRITE)
        && Files.getAttribute(directory, "unix:uid").equals(Files.getAttribute(SELF, "unix:uid"));
  }

  private Path file(String key) {
    return directory.resolve(key + ".cubin");
  }

  private static byte[] hash(byte[] image) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(image);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
