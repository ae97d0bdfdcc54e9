/* Leads a program to its job's folders: what it calls in the C library with a path below /opt/ml or /opt/mlops-sm is
 * called with the path on this machine. Compiled at first use and loaded with LD_PRELOAD; both folders are read from the
 * environment, and every program that is started gets the same variables, also where the caller leaves them out.
 *
 * What cannot be led this way: statically linked programs, programs that call the kernel themselves, and programs that
 * run with another user's rights, for which the loader ignores LD_PRELOAD. They find no /opt/ml.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* The checking wrappers of headers would define what is defined here. */
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>
#include <ftw.h>
#include <glob.h>

#define PATHS 2
static const char *const seen[PATHS] = {"/opt/ml", "/opt/mlops-sm"};
static const char *const variables[PATHS] = {"MLOPS_SM_ML", "MLOPS_SM_SCRATCH"};
static char place[PATHS][PATH_MAX];
/* LD_PRELOAD and the two folders, as they stand in an environment. */
#define KEPT 5
static const char *const kept_names[KEPT] = {
    "LD_PRELOAD=", "MLOPS_SM_ML=", "MLOPS_SM_SCRATCH=", "MLOPS_SM_READ_ONLY=", "MLOPS_SM_NETWORK="};
static char kept[KEPT][PATH_MAX + 32];
static const char *read_only;
static int is_cut_off;

__attribute__((constructor)) static void start(void) {
  for (int i = 0; i < PATHS; i++) {
    const char *value = getenv(variables[i]);
    if (value && strlen(value) < PATH_MAX) strcpy(place[i], value);
  }
  for (int i = 0; i < KEPT; i++) {
    char name[32];
    size_t length = strlen(kept_names[i]) - 1;
    memcpy(name, kept_names[i], length);
    name[length] = 0;
    const char *value = getenv(name);
    if (value && strlen(value) < PATH_MAX) {
      strcpy(kept[i], kept_names[i]);
      strcat(kept[i], value);
    }
  }
  if (kept[3][0]) read_only = kept[3] + strlen(kept_names[3]);
  is_cut_off = !strcmp(kept[4], "MLOPS_SM_NETWORK=none");
}

static int is_below(const char *path, const char *folder, size_t length) {
  return !strncmp(path, folder, length) && (path[length] == 0 || path[length] == '/');
}

/* The path on this machine, in `buffer` if it is another. */
static const char *lead(const char *path, char *buffer) {
  if (!path || path[0] != '/') return path;
  for (int i = 0; i < PATHS; i++) {
    size_t length = strlen(seen[i]);
    if (place[i][0] && is_below(path, seen[i], length) && strlen(place[i]) + strlen(path + length) < PATH_MAX) {
      strcpy(buffer, place[i]);
      return strcat(buffer, path + length);
    }
  }
  return path;
}

/* The path as the job knows it, written over the one on this machine; it is shorter or does not fit. */
static char *lead_back(char *path, size_t room) {
  if (!path) return path;
  for (int i = 0; i < PATHS; i++) {
    size_t length = strlen(place[i]);
    if (length && is_below(path, place[i], length) && strlen(seen[i]) + strlen(path + length) < room) {
      memmove(path + strlen(seen[i]), path + length, strlen(path + length) + 1);
      memcpy(path, seen[i], strlen(seen[i]));
      return path;
    }
  }
  return path;
}

/* Whether a path, as it was led, is in a folder that the job may not write to: refuses with EROFS. */
static int is_protected(const char *path) {
  size_t length = read_only ? strlen(read_only) : 0;
  if (length && path && is_below(path, read_only, length)) {
    errno = EROFS;
    return 1;
  }
  return 0;
}

#define NEXT(name) \
  static __typeof__(name) *next; \
  if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define LED(path) char led_##path[PATH_MAX]; path = lead(path, led_##path)

/* ---- opening */
#define WRITES(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0)
#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
#ifndef __O_TMPFILE
#define __O_TMPFILE 0
#endif
#define OPEN(name) int name(const char *path, int flags, ...) { \
  MODE(flags) NEXT(name); LED(path); \
  if (WRITES(flags) && is_protected(path)) return -1; \
  return next(path, flags, mode); }
#define OPEN_AT(name) int name(int folder, const char *path, int flags, ...) { \
  MODE(flags) NEXT(name); LED(path); \
  if (WRITES(flags) && is_protected(path)) return -1; \
  return next(folder, path, flags, mode); }
OPEN(open)
OPEN_AT(openat)
int creat(const char *path, mode_t mode) { NEXT(creat); LED(path); return is_protected(path) ? -1 : next(path, mode); }
#define FOPEN(name) FILE *name(const char *path, const char *mode) { \
  NEXT(name); LED(path); \
  return strpbrk(mode, "wa+") && is_protected(path) ? NULL : next(path, mode); }
FOPEN(fopen)
FILE *freopen(const char *path, const char *mode, FILE *file) { NEXT(freopen); LED(path); return next(path, mode, file); }
DIR *opendir(const char *path) { NEXT(opendir); LED(path); return next(path); }

/* ---- looking */
#define ONE(type, name, ...) type name(const char *path) { NEXT(name); LED(path); return next(path); }
#define LOOK(name, what) int name(const char *path, what value) { NEXT(name); LED(path); return next(path, value); }
LOOK(access, int)
LOOK(euidaccess, int)
LOOK(eaccess, int)
LOOK(statfs, struct statfs *)
LOOK(statvfs, struct statvfs *)
int faccessat(int folder, const char *path, int mode, int flags) { NEXT(faccessat); LED(path); return next(folder, path, mode, flags); }
ssize_t readlink(const char *path, char *to, size_t room) { NEXT(readlink); LED(path); return next(path, to, room); }
ssize_t readlinkat(int folder, const char *path, char *to, size_t room) { NEXT(readlinkat); LED(path); return next(folder, path, to, room); }
long pathconf(const char *path, int name) { NEXT(pathconf); LED(path); return next(path, name); }
LOOK(stat, struct stat *)
LOOK(lstat, struct stat *)
int fstatat(int folder, const char *path, struct stat *value, int flags) { NEXT(fstatat); LED(path); return next(folder, path, value, flags); }
#ifdef STATX_BASIC_STATS
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *value) { NEXT(statx); LED(path); return next(folder, path, flags, mask, value); }
#endif

/* ---- where one is */
ONE(int, chdir)
char *getcwd(char *to, size_t room) {
  NEXT(getcwd);
  /* It has to fit as it is on this machine before it can be made shorter. */
  char whole[PATH_MAX];
  if (!to) return lead_back(next(to, room), room ? room : PATH_MAX);
  if (!next(whole, sizeof whole)) return NULL;
  lead_back(whole, sizeof whole);
  if (strlen(whole) >= room) { errno = ERANGE; return NULL; }
  return strcpy(to, whole);
}
char *get_current_dir_name(void) { NEXT(get_current_dir_name); char *path = next(); return lead_back(path, path ? strlen(path) + 1 : 0); }
char *realpath(const char *path, char *to) { NEXT(realpath); LED(path); char *found = next(path, to); return lead_back(found, found ? strlen(found) + 1 : 0); }
char *canonicalize_file_name(const char *path) { return realpath(path, NULL); }

/* ---- changing */
#define CHANGE_1(name) int name(const char *path) { NEXT(name); LED(path); return is_protected(path) ? -1 : next(path); }
#define CHANGE_2(name, what) int name(const char *path, what a) { NEXT(name); LED(path); return is_protected(path) ? -1 : next(path, a); }
#define CHANGE_3(name, what, other) int name(const char *path, what a, other b) { NEXT(name); LED(path); return is_protected(path) ? -1 : next(path, a, b); }
#define CHANGE_AT(name, what) int name(int folder, const char *path, what a) { NEXT(name); LED(path); return is_protected(path) ? -1 : next(folder, path, a); }
#define CHANGE_AT_2(name, what, other) int name(int folder, const char *path, what a, other b) { NEXT(name); LED(path); return is_protected(path) ? -1 : next(folder, path, a, b); }
CHANGE_1(rmdir)
CHANGE_1(unlink)
CHANGE_1(remove)
CHANGE_2(mkdir, mode_t)
CHANGE_2(mkfifo, mode_t)
CHANGE_2(chmod, mode_t)
CHANGE_2(truncate, off_t)
CHANGE_2(utime, const struct utimbuf *)
CHANGE_2(utimes, const struct timeval *)
CHANGE_2(lutimes, const struct timeval *)
CHANGE_3(chown, uid_t, gid_t)
CHANGE_3(lchown, uid_t, gid_t)
CHANGE_3(mknod, mode_t, dev_t)
CHANGE_AT(mkdirat, mode_t)
CHANGE_AT(mkfifoat, mode_t)
CHANGE_AT(unlinkat, int)
CHANGE_AT_2(utimensat, const struct timespec *, int)
CHANGE_AT_2(fchmodat, mode_t, int)
int fchownat(int folder, const char *path, uid_t uid, gid_t gid, int flags) { NEXT(fchownat); LED(path); return is_protected(path) ? -1 : next(folder, path, uid, gid, flags); }

#define TWO(name) int name(const char *path, const char *to) { \
  NEXT(name); LED(path); LED(to); \
  return is_protected(path) || is_protected(to) ? -1 : next(path, to); }
TWO(rename)
TWO(link)
/* What a symbolic link leads to is for the machine, which follows it. */
TWO(symlink)
int symlinkat(const char *path, int folder, const char *to) { NEXT(symlinkat); LED(path); LED(to); return is_protected(to) ? -1 : next(path, folder, to); }
int renameat(int from, const char *path, int onto, const char *to) { NEXT(renameat); LED(path); LED(to); return is_protected(path) || is_protected(to) ? -1 : next(from, path, onto, to); }
int renameat2(int from, const char *path, int onto, const char *to, unsigned flags) { NEXT(renameat2); LED(path); LED(to); return is_protected(path) || is_protected(to) ? -1 : next(from, path, onto, to, flags); }
int linkat(int from, const char *path, int onto, const char *to, int flags) { NEXT(linkat); LED(path); LED(to); return is_protected(to) ? -1 : next(from, path, onto, to, flags); }

/* ---- temporary files: the template is the caller's and holds the name afterwards */
#define TEMPORARY(type, bad, name, parameters, arguments) type name parameters { \
  NEXT(name); char led[PATH_MAX]; const char *path = lead(template, led); \
  if (path == template) return next arguments; \
  size_t before = strlen(path); \
  char *given = template; template = led; \
  type done = next arguments; \
  size_t given_length = strlen(given); \
  /* The name differs in what stood for X; the folder before it keeps its length. */ \
  size_t tail = 0; while (tail < given_length && given[given_length - tail - 1] != '/') tail++; \
  memcpy(given + given_length - tail, led + before - tail, tail); \
  return done; }
TEMPORARY(int, -1, mkstemp, (char *template), (template))
TEMPORARY(int, -1, mkostemp, (char *template, int flags), (template, flags))
TEMPORARY(int, -1, mkstemps, (char *template, int suffix), (template, suffix))
TEMPORARY(int, -1, mkostemps, (char *template, int suffix, int flags), (template, suffix, flags))
char *mkdtemp(char *template) {
  NEXT(mkdtemp);
  char led[PATH_MAX];
  const char *path = lead(template, led);
  if (path == template) return next(template);
  size_t length = strlen(template), made = strlen(led);
  if (!next(led)) return NULL;
  memcpy(template + length - 6, led + made - 6, 6);
  return template;
}

/* ---- extended attributes */
ssize_t listxattr(const char *path, char *names, size_t room) { static ssize_t (*next)(const char *, char *, size_t); if (!next) next = (ssize_t (*)(const char *, char *, size_t))dlsym(RTLD_NEXT, "listxattr"); LED(path); return next(path, names, room); }
ssize_t llistxattr(const char *path, char *names, size_t room) { static ssize_t (*next)(const char *, char *, size_t); if (!next) next = (ssize_t (*)(const char *, char *, size_t))dlsym(RTLD_NEXT, "llistxattr"); LED(path); return next(path, names, room); }
#define GET_ATTRIBUTE(name) ssize_t name(const char *path, const char *key, void *value, size_t room) { \
  static ssize_t (*next)(const char *, const char *, void *, size_t); \
  if (!next) next = (ssize_t (*)(const char *, const char *, void *, size_t))dlsym(RTLD_NEXT, #name); \
  LED(path); return next(path, key, value, room); }
GET_ATTRIBUTE(getxattr)
GET_ATTRIBUTE(lgetxattr)
#define SET_ATTRIBUTE(name) int name(const char *path, const char *key, const void *value, size_t size, int flags) { \
  static int (*next)(const char *, const char *, const void *, size_t, int); \
  if (!next) next = (int (*)(const char *, const char *, const void *, size_t, int))dlsym(RTLD_NEXT, #name); \
  LED(path); return is_protected(path) ? -1 : next(path, key, value, size, flags); }
SET_ATTRIBUTE(setxattr)
SET_ATTRIBUTE(lsetxattr)
#define REMOVE_ATTRIBUTE(name) int name(const char *path, const char *key) { \
  static int (*next)(const char *, const char *); \
  if (!next) next = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, #name); \
  LED(path); return is_protected(path) ? -1 : next(path, key); }
REMOVE_ATTRIBUTE(removexattr)
REMOVE_ATTRIBUTE(lremovexattr)

/* ---- trees */
int glob(const char *restrict path, int flags, int (*error)(const char *, int), glob_t *restrict found) {
  NEXT(glob);
  char led[PATH_MAX];
  const char *here = lead(path, led);
  int done = next(here, flags, error, found);
  if (done == 0 && here != path)
    for (size_t i = 0; i < found->gl_pathc; i++) lead_back(found->gl_pathv[found->gl_offs * !!(flags & GLOB_DOOFFS) + i], PATH_MAX);
  return done;
}
int nftw(const char *path, __nftw_func_t each, int open_ones, int flags) { NEXT(nftw); LED(path); return next(path, each, open_ones, flags); }
int ftw(const char *path, __ftw_func_t each, int open_ones) { NEXT(ftw); LED(path); return next(path, each, open_ones); }

/* ---- sockets with a path: the path on this machine may be longer than the 108 bytes of a socket's */
static socklen_t lead_socket(const struct sockaddr *address, socklen_t length, struct sockaddr_un *led, int *folder) {
  const struct sockaddr_un *local = (const struct sockaddr_un *)address;
  char given[sizeof local->sun_path + 1], buffer[PATH_MAX];
  *folder = -1;
  if (!address || address->sa_family != AF_UNIX || length <= offsetof(struct sockaddr_un, sun_path)) return 0;
  size_t given_length = length - offsetof(struct sockaddr_un, sun_path);
  if (given_length >= sizeof given) return 0;
  memcpy(given, local->sun_path, given_length);
  given[given_length] = 0;
  const char *path = lead(given, buffer);
  if (path == given) return 0;
  memset(led, 0, sizeof *led);
  led->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof led->sun_path) {
    char *name = strrchr(buffer, '/');
    *name = 0;
    *folder = open(buffer, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0 || snprintf(led->sun_path, sizeof led->sun_path, "/proc/self/fd/%d/%s", *folder, name + 1) >= (int)sizeof led->sun_path) return 0;
  } else {
    strcpy(led->sun_path, path);
  }
  return offsetof(struct sockaddr_un, sun_path) + strlen(led->sun_path) + 1;
}
#define SOCKET(kind, name, symbol) kind int name(int descriptor, const struct sockaddr *address, socklen_t length) { \
  static int (*next)(int, const struct sockaddr *, socklen_t); \
  if (!next) next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, symbol); \
  struct sockaddr_un led; int folder; \
  socklen_t other = lead_socket(address, length, &led, &folder); \
  int done = other ? next(descriptor, (struct sockaddr *)&led, other) : next(descriptor, address, length); \
  int error = errno; \
  if (folder >= 0) close(folder); \
  errno = error; \
  return done; }
SOCKET(, bind, "bind")
SOCKET(static, lead_connect, "connect")
/* Without a network only this machine's own addresses are reached. */
static int is_elsewhere(const struct sockaddr *address) {
  if (!address) return 0;
  if (address->sa_family == AF_INET) return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) != 127;
  return address->sa_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}
int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
  if (is_cut_off && is_elsewhere(address)) {
    errno = ENETUNREACH;
    return -1;
  }
  return lead_connect(descriptor, address, length);
}

/* ---- the names of a job's instances: algo-N is 127.0.0.N */
static const char *address_of(const char *name, char *buffer) {
  int number, end = 0;
  if (!name || sscanf(name, "algo-%3d%n", &number, &end) != 1 || name[end] || number < 1 || number > 250) return name;
  snprintf(buffer, 16, "127.0.0.%d", number);
  return buffer;
}
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) { NEXT(getaddrinfo); char buffer[16]; return next(address_of(name, buffer), service, hints, found); }
struct hostent *gethostbyname(const char *name) { NEXT(gethostbyname); char buffer[16]; return next(address_of(name, buffer)); }
struct hostent *gethostbyname2(const char *name, int family) { NEXT(gethostbyname2); char buffer[16]; return next(address_of(name, buffer), family); }
int gethostbyname_r(const char *name, struct hostent *host, char *room, size_t size, struct hostent **found, int *error) { NEXT(gethostbyname_r); char buffer[16]; return next(address_of(name, buffer), host, room, size, found, error); }
int gethostbyname2_r(const char *name, int family, struct hostent *host, char *room, size_t size, struct hostent **found, int *error) { NEXT(gethostbyname2_r); char buffer[16]; return next(address_of(name, buffer), family, host, room, size, found, error); }

/* ---- starting programs. The child of a vfork comes here too: nothing is allocated but on the stack. */
extern char **environ;
static size_t count(char *const *list) { size_t n = 0; while (list && list[n]) n++; return n; }
/* The environment with what is kept, in `room`, which holds KEPT more than the given one. */
static char *const *keep(char *const *given, char **room) {
  size_t n = 0;
  for (size_t i = 0; given && given[i]; i++) {
    int ours = 0;
    for (int k = 1; k < KEPT; k++) ours |= kept[k][0] && !strncmp(given[i], kept_names[k], strlen(kept_names[k]));
    /* A caller's own LD_PRELOAD stays if it has ours in it. */
    if (kept[0][0] && !strncmp(given[i], kept_names[0], strlen(kept_names[0]))) ours = !strstr(given[i], kept[0] + strlen(kept_names[0]));
    if (!ours) room[n++] = given[i];
  }
  for (int k = 0; k < KEPT; k++) {
    int there = 0;
    for (size_t i = 0; i < n && k == 0; i++) there |= !strncmp(room[i], kept_names[0], strlen(kept_names[0]));
    if (kept[k][0] && !there) room[n++] = kept[k];
  }
  room[n] = NULL;
  return room;
}
#define KEEP(given) char *room_[count(given) + KEPT + 1]; char *const *environment = keep(given, room_)

int execve(const char *path, char *const words[], char *const given[]) { NEXT(execve); LED(path); KEEP(given); return next(path, words, environment); }
int execv(const char *path, char *const words[]) { return execve(path, words, environ); }
int execvpe(const char *path, char *const words[], char *const given[]) { NEXT(execvpe); LED(path); KEEP(given); return next(path, words, environment); }
int execvp(const char *path, char *const words[]) { return execvpe(path, words, environ); }
int fexecve(int file, char *const words[], char *const given[]) { NEXT(fexecve); KEEP(given); return next(file, words, environment); }
#define LISTED(first) \
  va_list rest; size_t n = 1; \
  va_start(rest, first); while (va_arg(rest, char *)) n++; va_end(rest); \
  char *words[n + 1]; words[0] = (char *)first; \
  va_start(rest, first); for (size_t i = 1; i <= n; i++) words[i] = va_arg(rest, char *)
int execl(const char *path, const char *first, ...) { LISTED(first); va_end(rest); return execv(path, words); }
int execlp(const char *path, const char *first, ...) { LISTED(first); va_end(rest); return execvp(path, words); }
int execle(const char *path, const char *first, ...) { LISTED(first); char *const *given = va_arg(rest, char *const *); va_end(rest); return execve(path, words, given); }
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const words[], char *const given[]) { NEXT(posix_spawn); LED(path); KEEP(given); return next(pid, path, actions, attributes, words, environment); }
int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const words[], char *const given[]) { NEXT(posix_spawnp); LED(path); KEEP(given); return next(pid, path, actions, attributes, words, environment); }
int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *restrict actions, int file, const char *restrict path, int flags, mode_t mode) { NEXT(posix_spawn_file_actions_addopen); LED(path); return next(actions, file, path, flags, mode); }

/* ---- libraries and modules that are loaded from the job's folder */
static __attribute__((noinline)) void *load(const char *path, int flags, void *(*next)(const char *, int)) { LED(path); return next(path, flags); }
void *dlopen(const char *path, int flags) {
  NEXT(dlopen);
  if (path && path[0] == '/') return load(path, flags, next);
  /* A jump, not a call: the library looks beside the one who asks, and that is not this one. */
  return next(path, flags);
}

#ifdef __GLIBC__
/* ---- the same with 64-bit offsets, and what programs built for an older library call */
OPEN(open64)
OPEN_AT(openat64)
int creat64(const char *path, mode_t mode) { NEXT(creat64); LED(path); return is_protected(path) ? -1 : next(path, mode); }
FOPEN(fopen64)
FILE *freopen64(const char *path, const char *mode, FILE *file) { NEXT(freopen64); LED(path); return next(path, mode, file); }
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }
int __openat_2(int folder, const char *path, int flags) { return openat(folder, path, flags); }
int __openat64_2(int folder, const char *path, int flags) { return openat64(folder, path, flags); }
LOOK(stat64, struct stat64 *)
LOOK(lstat64, struct stat64 *)
LOOK(statfs64, struct statfs64 *)
LOOK(statvfs64, struct statvfs64 *)
int fstatat64(int folder, const char *path, struct stat64 *value, int flags) { NEXT(fstatat64); LED(path); return next(folder, path, value, flags); }
#define OLD_STAT(name, what) int name(int version, const char *path, struct what *value) { \
  static int (*next)(int, const char *, struct what *); \
  if (!next) next = (int (*)(int, const char *, struct what *))dlsym(RTLD_NEXT, #name); \
  LED(path); return next(version, path, value); }
OLD_STAT(__xstat, stat)
OLD_STAT(__lxstat, stat)
OLD_STAT(__xstat64, stat64)
OLD_STAT(__lxstat64, stat64)
#define OLD_STAT_AT(name, what) int name(int version, int folder, const char *path, struct what *value, int flags) { \
  static int (*next)(int, int, const char *, struct what *, int); \
  if (!next) next = (int (*)(int, int, const char *, struct what *, int))dlsym(RTLD_NEXT, #name); \
  LED(path); return next(version, folder, path, value, flags); }
OLD_STAT_AT(__fxstatat, stat)
OLD_STAT_AT(__fxstatat64, stat64)
CHANGE_2(truncate64, off64_t)
TEMPORARY(int, -1, mkstemp64, (char *template), (template))
TEMPORARY(int, -1, mkostemp64, (char *template, int flags), (template, flags))
TEMPORARY(int, -1, mkstemps64, (char *template, int suffix), (template, suffix))
TEMPORARY(int, -1, mkostemps64, (char *template, int suffix, int flags), (template, suffix, flags))
int glob64(const char *restrict path, int flags, int (*error)(const char *, int), glob64_t *restrict found) { return glob(path, flags, error, (glob_t *)found); }
int nftw64(const char *path, __nftw64_func_t each, int open_ones, int flags) { NEXT(nftw64); LED(path); return next(path, each, open_ones, flags); }
ssize_t __readlink_chk(const char *path, char *to, size_t room, size_t size) { (void)size; return readlink(path, to, room); }
char *__realpath_chk(const char *path, char *to, size_t size) { (void)size; return realpath(path, to); }
char *__getcwd_chk(char *to, size_t room, size_t size) { (void)size; return getcwd(to, room); }
int scandir(const char *restrict path, struct dirent ***restrict names, int (*select)(const struct dirent *), int (*compare)(const struct dirent **, const struct dirent **)) { NEXT(scandir); LED(path); return next(path, names, select, compare); }
int scandir64(const char *restrict path, struct dirent64 ***restrict names, int (*select)(const struct dirent64 *), int (*compare)(const struct dirent64 **, const struct dirent64 **)) { NEXT(scandir64); LED(path); return next(path, names, select, compare); }
#endif
