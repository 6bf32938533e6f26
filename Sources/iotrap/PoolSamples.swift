import Glibc

/// What a probe reports of files that are there already.
enum PoolSamples {
    /// So many files are compared.
    private static let filesMax = 4
    /// So many names are looked at.
    private static let namesMax = 1024
    /// Databases have their files some folders below the mount.
    private static let depthMax = 4

    /// Names some regular files below a folder, and the largest one that was seen.
    static func list(_ folder: ByteString) {
        var folders: [(name: ByteString, depth: Int)] = [(ByteString(""), 0)]
        var seen = 0
        var reported = 0
        var largest: (name: ByteString, size: Int) = (ByteString(""), 0)
        while !folders.isEmpty && seen < namesMax {
            let (parent, depth) = folders.removeFirst()
            for name in names(in: folder + "/" + parent, atMost: namesMax - seen) {
                seen += 1
                let relative = parent.isEmpty ? name : parent + "/" + name
                var status = stat()
                let result = (folder + "/" + relative).withCString { lstat($0, &status) }
                guard result == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFDIR {
                    if depth < depthMax { folders.append((relative, depth + 1)) }
                } else if status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 {
                    if reported < filesMax {
                        reported += 1
                        report(folder, relative)
                    }
                    if status.st_size > largest.size { largest = (relative, status.st_size) }
                }
            }
        }
        if largest.size > 0 {
            PoolProbeActions.say("largest \(Hexadecimal.text(largest.name.bytes)) \(largest.size)")
        }
    }

    /// Reports the files of these names.
    static func sample(_ folder: ByteString, _ names: [String]) {
        for name in names { report(folder, ByteString(Hexadecimal.bytes(name))) }
    }

    /// One line: name, size, content, times, inode. What cannot be had is "-".
    private static func report(_ folder: ByteString, _ name: ByteString) {
        let path = folder + "/" + name
        let text = Hexadecimal.text(name.bytes)
        let fd = path.withCString { open($0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) }
        defer { if fd >= 0 { close(fd) } }
        var status = stat()
        let result =
            fd >= 0 ? fstat(fd, &status) : path.withCString { lstat($0, &status) }
        guard result == 0 else { return PoolProbeActions.say("file \(text) - - - - -") }
        let changed = "\(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)"
        let modified = "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
        let content = fd >= 0 ? hash(fd, status.st_size) : "-"
        PoolProbeActions.say(
            "file \(text) \(status.st_size) \(content) \(modified) \(changed) \(status.st_ino)")
    }

    /// Of the beginning, the middle and the end.
    private static func hash(_ fd: Int32, _ size: Int) -> String {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        var block = [UInt8](repeating: 0, count: 16 << 10)
        for offset in [0, size / 2, max(0, size - block.count)] {
            let count = pread(fd, &block, block.count, offset)
            if count < 0 { return "-" }
            for byte in block.prefix(count) {
                value = (value ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        return String(value, radix: 16)
    }

    private static func names(in folder: ByteString, atMost limit: Int) -> [ByteString] {
        guard let stream = folder.withCString({ opendir($0) }) else { return [] }
        defer { closedir(stream) }
        var names: [ByteString] = []
        while names.count < limit, let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { ByteString(cString: $0) }
            }
            // Hidden names are lock files and the like, those of other probes among them.
            if name.bytes.first != UInt8(ascii: ".") { names.append(name) }
        }
        // In the same order through every path, as far as they are the same.
        return names.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }
}

/// Reads a file past every cache of this machine, for a measured time.
enum PoolReader {
    private static let blockBytes = 1 << 20
    /// O_DIRECT, which this Glibc module does not have.
    private static let direct: Int32 = 0o40000

    /// One line: bytes read, nanoseconds taken.
    static func read(_ path: ByteString, first: Int, size: Int, milliseconds: UInt64) {
        let fd = path.withCString { open($0, O_RDONLY | direct | O_CLOEXEC) }
        guard fd >= 0 else { return PoolProbeActions.say(PoolProbeActions.failure(of: "open")) }
        defer { close(fd) }
        let block = UnsafeMutableRawPointer.allocate(byteCount: blockBytes, alignment: 4096)
        defer { block.deallocate() }
        let blocks = max(1, size / blockBytes)
        var index = first / blockBytes
        var bytes: UInt64 = 0
        let start = PoolProbe.now()
        let window = milliseconds * 1_000_000
        var time = window
        while true {
            let count = pread(fd, block, blockBytes, index % blocks * blockBytes)
            guard count > 0 else {
                return PoolProbeActions.say(PoolProbeActions.failure(of: "read"))
            }
            index += 1
            let now = PoolProbe.now() - start
            if now > window {
                // A read that ends later had the path to itself at last: it counts only when it is
                // all there is.
                if bytes == 0 { (bytes, time) = (UInt64(count), now) }
                break
            }
            bytes += UInt64(count)
        }
        PoolProbeActions.say("bytes \(bytes)")
        PoolProbeActions.say("nanoseconds \(time)")
    }
}
