import Glibc

/// What a probe does, in its own process: `look`, `make`, `find`, `remove`, `list`, `sample` and
/// `read`. Every action may hang, so each prints what it found and `end` behind it.
enum PoolProbeActions {
    static func run(_ arguments: [ByteString]) -> Int32 {
        guard arguments.count >= 2 else { return ExitStatus.usage }
        let path = arguments[1]
        let rest = arguments.dropFirst(2).map(\.text)
        switch (arguments[0].text, rest.count) {
        case ("look", 0): look(path)
        case ("make", 2): make(path, size: Int(rest[0]) ?? 0, content: Hexadecimal.bytes(rest[1]))
        case ("find", 2): find(path, Hexadecimal.bytes(rest[0]), milliseconds: UInt64(rest[1]) ?? 0)
        case ("remove", 0): say(unlinked(path))
        case ("list", 0): PoolSamples.list(path)
        case ("sample", 1...): PoolSamples.sample(path, rest)
        case ("read", 3):
            PoolReader.read(
                path, first: Int(rest[0]) ?? 0, size: Int(rest[1]) ?? 0,
                milliseconds: UInt64(rest[2]) ?? 0)
        default: return ExitStatus.usage
        }
        Diagnostics.write("end\n", to: STDOUT_FILENO)
        return ExitStatus.success
    }

    static func say(_ line: String) { Diagnostics.write(line + "\n", to: STDOUT_FILENO) }

    /// The line about a call that failed with this thread's errno.
    static func failure(of call: String) -> String { "failed \(call) \(errno)" }

    /// Which mount a path leads to, which file that is, and whether it can be written to.
    private static func look(_ path: ByteString) {
        let fd = path.withCString { open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard fd >= 0 else { return say(failure(of: "open")) }
        defer { close(fd) }
        var status = stat()
        // The directory's own answer is asked for below: that of a cache says nothing.
        guard fstat(fd, &status) == 0 else { return say(failure(of: "stat")) }
        var volume = statvfs()
        guard fstatvfs(fd, &volume) == 0 else { return say(failure(of: "statvfs")) }
        if let mount = mountIdentifier(of: fd) { say("mount \(mount)") }
        say("inode \(status.st_ino)")
        // access(2) knows of read-only mounts.
        say("writable \(path.withCString { access($0, W_OK | X_OK) } == 0 ? 1 : 0)")
    }

    private static func mountIdentifier(of fd: Int32) -> Int? {
        let info = open("/proc/self/fdinfo/\(fd)", O_RDONLY | O_CLOEXEC)
        guard info >= 0 else { return nil }
        defer { close(info) }
        var text = [UInt8](repeating: 0, count: 1024)
        let count = Glibc.read(info, &text, text.count)
        let lines = ByteString(text.prefix(max(0, count))).text.split(separator: "\n")
        return lines.first { $0.hasPrefix("mnt_id:") }
            .flatMap { Int($0.dropFirst(7).filter(\.isNumber)) }
    }

    /// Makes a private file: the content, then zeroes up to the size.
    private static func make(_ path: ByteString, size: Int, content: [UInt8]) {
        let fd = path.withCString { open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        guard fd >= 0 else { return say(failure(of: "open")) }
        defer { close(fd) }
        say("made 1")
        var done = 0
        let zeroes = [UInt8](repeating: 0, count: size > content.count ? 1 << 20 : 0)
        while done < max(size, content.count) {
            let written =
                done < content.count
                ? content.withUnsafeBytes {
                    write(fd, $0.baseAddress! + done, content.count - done)
                } : write(fd, zeroes, min(zeroes.count, size - done))
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return say(failure(of: "write")) }
            done += written
        }
        guard fsync(fd) == 0 else { return say(failure(of: "fsync")) }
        var status = stat()
        guard fstat(fd, &status) == 0 else { return say(failure(of: "stat")) }
        say("inode \(status.st_ino)")
    }

    /// Looks for the file until it is there with its content, as caches of names and attributes
    /// may be old for a while.
    private static func find(_ path: ByteString, _ content: [UInt8], milliseconds: UInt64) {
        let start = PoolProbe.now()
        while true {
            let found = look(path, for: content)
            if found.hasPrefix("same") || PoolProbe.now() - start > milliseconds * 1_000_000 {
                return say(found)
            }
            usleep(50_000)
        }
    }

    private static func look(_ path: ByteString, for content: [UInt8]) -> String {
        let fd = path.withCString { open($0, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) }
        guard fd >= 0 else { return errno == ENOENT ? "absent" : failure(of: "open") }
        defer { close(fd) }
        var status = stat()
        var read = [UInt8](repeating: 0, count: content.count)
        guard fstat(fd, &status) == 0 else { return failure(of: "stat") }
        let count = pread(fd, &read, read.count, 0)
        guard count >= 0 else { return failure(of: "read") }
        return count == content.count && read == content ? "same \(status.st_ino)" : "different"
    }

    private static func unlinked(_ path: ByteString) -> String {
        path.withCString { unlink($0) } == 0 ? "removed" : failure(of: "unlink")
    }
}
