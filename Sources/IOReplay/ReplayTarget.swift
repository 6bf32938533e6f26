import CIOReplay
import Glibc
import IOTrace

/// The directory that a replay has its files in. Nothing outside of it is opened: every component
/// of a path is looked up below it, and no link is followed.
final class ReplayTarget {
    /// Says that a directory was made by a replay.
    static let marker = ".iotrap-replay"
    /// O_DIRECT of Linux on x86-64, which glibc keeps from programs without GNU extensions.
    private static let direct: Int32 = 0o40000
    private static let markerText = "The files here were made by iotrap replay.\n"

    private let path: String
    private let descriptor: Int32
    private var descriptors: [Int32] = []
    /// Things that the user should know.
    private(set) var warnings: [String] = []

    /// Opens the directory, or makes it, and takes possession of it.
    ///
    /// - Throws: when it holds anything that no replay made, unless `isForced`.
    init(path: String, isForced: Bool) throws(ReplayError) {
        self.path = path
        if mkdir(path, 0o777) != 0 && errno != EEXIST {
            throw .system(path, "mkdir", errno, remedy: "give a directory that can be written to")
        }
        descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 {
            throw .system(path, "open", errno, remedy: "give a directory that can be written to")
        }
        if try !isOwn() {
            // Another rank may have taken possession meanwhile.
            if !isForced, let name = try firstName(), try !isOwn() {
                throw ReplayError(
                    "\(path): holds '\(name)', which iotrap replay did not make; give an empty "
                        + "directory, or --force to write the files of the trace there all the same"
                )
            }
            try mark()
        }
    }

    deinit {
        closeFiles()
        if descriptor >= 0 { close(descriptor) }
    }

    /// Whether a replay has made the directory.
    private func isOwn() throws(ReplayError) -> Bool {
        var status = stat()
        if fstatat(descriptor, Self.marker, &status, AT_SYMLINK_NOFOLLOW) != 0 { return false }
        return status.st_mode & S_IFMT == S_IFREG
    }

    private func firstName() throws(ReplayError) -> String? {
        let copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard copy >= 0, let list = fdopendir(copy) else {
            throw .system(path, "opendir", errno, remedy: "give a directory that can be read")
        }
        defer { closedir(list) }
        while let entry = readdir(list) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            // A file system of its own has lost+found from the start.
            if ![".", "..", "lost+found"].contains(name) { return name }
        }
        return nil
    }

    private func mark() throws(ReplayError) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let file = openat(descriptor, Self.marker, flags, 0o666)
        if file < 0 && errno == EEXIST { return }
        if file < 0 {
            throw .system(path, "open", errno, remedy: "give a directory that can be written to")
        }
        defer { close(file) }
        let count = Self.markerText.utf8.count
        if write(file, Self.markerText, count) != count {
            throw .system(path, "write", errno, remedy: "make room on the file system")
        }
    }

    /// Makes all files of a plan as they must be before the start, and opens them.
    ///
    /// - Parameter verifyRun: number of the run, if blocks describe themselves.
    /// - Returns: false if a signal interrupted it.
    func prepare(
        _ plan: ReplayPlan, verifyRun: UInt32?, progress: (UInt64, UInt64) -> Void
    ) throws(ReplayError) -> Bool {
        closeFiles()
        try checkDescriptorLimit(plan)
        try checkSpace(plan)
        let total = plan.contents.reduce(UInt64(0)) { $0 &+ $1.preparedBytes }
        var done: UInt64 = 0
        for (number, content) in plan.contents.enumerated() {
            progress(done, total)
            if try !fill(content, UInt32(number), plan.verifyBlock, verifyRun) { return false }
            done &+= content.preparedBytes
        }
        for file in plan.files {
            guard let file else {
                descriptors.append(-1)
                continue
            }
            descriptors.append(try open(file))
        }
        return true
    }

    /// The descriptor of a file, -1 for one that no event uses.
    func descriptor(of file: Int) -> Int32 { descriptors[file] }

    /// Calls `body` with a file opened for reading, past what the page cache may hold. Returns what
    /// it returns, or the errno, negative, of the file that cannot be opened.
    func withReader(_ path: String, _ body: (Int32) -> Int32) -> Int32 {
        guard let writer = try? open(path: path, flags: O_RDWR) else { return -EIO }
        fdatasync(writer)
        posix_fadvise(writer, 0, 0, Int32(POSIX_FADV_DONTNEED))
        defer { close(writer) }
        return body(writer)
    }

    private func closeFiles() {
        for descriptor in descriptors where descriptor >= 0 { close(descriptor) }
        descriptors = []
    }

    /// Throws unless a new file of so many bytes has room.
    func checkRoom(_ bytes: UInt64) throws(ReplayError) {
        var system = statvfs()
        if fstatvfs(descriptor, &system) != 0 { return }
        let there = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        if bytes > there {
            throw ReplayError(
                "\(path): needs \(bytes) bytes and has room for \(there); give a larger file "
                    + "system, or --quick")
        }
    }

    /// Makes or opens a file right below the target, for O_DIRECT.
    func openDirect(_ name: String) throws(ReplayError) -> Int32 {
        let file = try open(path: name, flags: O_RDWR | O_CREAT | Self.direct)
        if file < 0 {
            throw ReplayError("\(path): does not do O_DIRECT; give a directory of a real volume")
        }
        return file
    }

    /// Removes a file right below the target.
    func remove(_ name: String) {
        unlinkat(descriptor, name, 0)
    }

    private func checkDescriptorLimit(_ plan: ReplayPlan) throws(ReplayError) {
        let needed = rlim_t(plan.files.count { $0 != nil } + 64)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        if limit.rlim_cur >= needed { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
        if limit.rlim_max < needed {
            throw ReplayError(
                "\(plan.path): needs \(needed) open files, and the limit is \(limit.rlim_max); "
                    + "raise it (ulimit -Hn)")
        }
    }

    private func checkSpace(_ plan: ReplayPlan) throws(ReplayError) {
        var system = statvfs()
        if fstatvfs(descriptor, &system) != 0 { return }
        let needed = plan.bytesNeeded
        var there: UInt64 = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        for content in plan.contents {
            if let status = status(of: content.path) { there &+= UInt64(status.st_blocks) * 512 }
        }
        if needed > there {
            throw ReplayError(
                "\(path): the trace needs \(needed) bytes and there is room for \(there); "
                    + "give a larger file system, or a smaller trace")
        }
    }

    /// What is there under a path, if it can be reached without links.
    private func status(of path: String) -> stat? {
        guard let (parent, name) = try? parent(of: path, creates: false) else { return nil }
        defer { close(parent) }
        var status = stat()
        return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status : nil
    }

    /// Opens the directory of a path, component by component.
    private func parent(
        of path: String, creates: Bool
    ) throws(ReplayError) -> (descriptor: Int32, name: String) {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        for part in parts where part.isEmpty || part == "." || part == ".." {
            throw ReplayError("'\(path)': leaves the target; the trace is not one to trust")
        }
        let name = parts.removeLast()
        var current = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        for part in parts {
            if creates { mkdirat(current, part, 0o777) }
            let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
            let next = openat(current, part, flags)
            let code = errno
            close(current)
            if next < 0 {
                throw .system(
                    "\(self.path)/\(path)", "open of '\(part)'", code,
                    remedy: "links are not followed; give an empty directory")
            }
            current = next
        }
        return (current, name)
    }

    private func open(path: String, flags: Int32) throws(ReplayError) -> Int32 {
        let (parent, name) = try parent(of: path, creates: true)
        defer { close(parent) }
        // A FIFO would wait for its other end.
        let all = flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
        let file = openat(parent, name, all, 0o666)
        if file < 0 {
            let code = errno
            if code == EINVAL && flags & Self.direct != 0 { return -1 }
            throw .system(
                "\(self.path)/\(path)", "open", code,
                remedy: "links are not followed; give an "
                    + "empty directory")
        }
        var status = stat()
        fstat(file, &status)
        if status.st_mode & S_IFMT != S_IFREG || status.st_nlink > 1 {
            close(file)
            throw ReplayError(
                "\(self.path)/\(path): is not a file of its own; give an empty directory")
        }
        return file
    }

    private func open(_ file: TraceFile) throws(ReplayError) -> Int32 {
        // O_APPEND would move writes away from where they went.
        let kept = Int32(bitPattern: file.openFlags) & (O_ACCMODE | Self.direct | O_SYNC | O_DSYNC)
        var descriptor = try open(path: file.path, flags: kept)
        if descriptor < 0 {
            if warnings.isEmpty {
                warnings.append("\(path): does not do O_DIRECT; its files are buffered")
            }
            descriptor = try open(path: file.path, flags: kept & ~Self.direct)
        }
        return descriptor
    }

    /// Gives a file its size, and content where there is none.
    private func fill(
        _ content: ReplayPlan.Content, _ number: UInt32, _ block: UInt32, _ run: UInt32?
    ) throws(ReplayError) -> Bool {
        let file = try open(path: content.path, flags: O_RDWR | O_CREAT)
        defer { close(file) }
        let name = "\(path)/\(content.path)"
        var status = stat()
        fstat(file, &status)
        let size = off_t(clamping: content.sizeBytes)
        if status.st_size != size && ftruncate(file, size) != 0 {
            throw .system(name, "ftruncate", errno, remedy: "give another file system")
        }
        // What is sparse would be read faster than anything that is stored.
        let isStored = UInt64(status.st_blocks) * 512 >= content.preparedBytes
        let isThere = isStored && UInt64(clamping: status.st_size) >= content.preparedBytes
        let from = isThere && run == nil ? content.preparedBytes : 0
        let error = iotrap_replay_prepare(
            file, from, content.preparedBytes, run == nil ? 0 : block, run ?? 0, number,
            iotrap_replay_signal_flag())
        if error == -EINTR { return false }
        if error != 0 {
            throw .system(name, "pwrite", -error, remedy: "make room on the file system")
        }
        fdatasync(file)
        // A replay starts with nothing in the page cache.
        posix_fadvise(file, 0, 0, Int32(POSIX_FADV_DONTNEED))
        return true
    }
}
