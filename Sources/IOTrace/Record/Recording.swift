import CIOTrap
import Glibc

/// What a recording is asked for.
public struct RecordingOptions: Equatable, Sendable {
    /// Patterns of the paths to record, as bytes; none: all paths.
    public var filters: [[UInt8]] = []
    /// Bytes that all parts may have together; 0: no bound.
    public var bytesMax: UInt64 = 0
    /// Whether the trace has hashes in the place of paths.
    public var isAnonymised = false
    /// Whether the trace replaces an existing file.
    public var replaces = false
    /// The program that is recorded, for the metadata of the trace.
    public var program = ""

    /// Records everything.
    public init() {}
}

/// A recording on its way to become a trace: a directory beside the trace that has its parts, and
/// one on a memory file system that the recorded processes share. See docs/trace-format.md.
public struct Recording: Equatable, Sendable {
    /// The trace that is to be.
    public let output: String
    /// What it was begun with.
    public let options: RecordingOptions
    /// The directory in memory: the value of IOTRAP_TRACE.
    public private(set) var buffers: String

    /// The directory of the parts.
    public var parts: String { Self.parts(of: output) }

    static func parts(of output: String) -> String { output + ".parts" }
    private static let noteName = "recording"

    private init(output: String, options: RecordingOptions, buffers: String) {
        self.output = output
        self.options = options
        self.buffers = buffers
    }

    /// Makes both directories.
    ///
    /// - Throws: `.exists` and `.notRegular` for what is at `output`, `.recording` when there is an
    ///   unfinished one or no memory file system, `.system`.
    public static func begin(
        output: String, options: RecordingOptions
    ) throws(TraceError) -> Recording {
        let path = try absolute(output)
        var status = stat()
        if lstat(path, &status) == 0 {
            if status.st_mode & S_IFMT != S_IFREG {
                throw TraceError(path: output, reason: .notRegular)
            }
            if !options.replaces { throw TraceError(path: output, reason: .exists) }
        }
        let parts = parts(of: path)
        if parts.utf8.count + 40 > Int(IOTRAP_RECORDING_PATH_BYTES) {
            throw TraceError(path: output, reason: .system(call: "mkdir", errno: ENAMETOOLONG))
        }
        if mkdir(parts, 0o700) != 0 {
            let code = errno
            if code != EEXIST {
                throw TraceError(path: parts, reason: .system(call: "mkdir", errno: code))
            }
            throw TraceError(
                path: parts,
                reason: .recording(
                    "is there: a recording that goes on, or was not finished",
                    remedy: "finish it with: iotrap trace finish \(output), or remove it"))
        }
        var recording = Recording(output: path, options: options, buffers: "")
        do throws(TraceError) {
            recording.buffers = try makeBuffers()
            try recording.writeControl()
            try recording.writeNote()
            return recording
        } catch {
            recording.remove()
            throw error
        }
    }

    /// An unfinished recording of a trace; nil when there is none.
    ///
    /// - Parameter replaces: whether the trace replaces an existing file, whatever it was begun
    ///   with.
    public static func find(
        output: String, replaces: Bool = false
    ) throws(TraceError) -> Recording? {
        let path = try absolute(output)
        var status = stat()
        if lstat(parts(of: path), &status) != 0 || status.st_mode & S_IFMT != S_IFDIR { return nil }
        let note = parts(of: path) + "/" + noteName
        var options = RecordingOptions()
        var buffers = ""
        for line in try read(note).split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            let value = String(line[line.index(after: equals)...])
            switch line[..<equals] {
            case "buffers": buffers = value
            case "anonymised": options.isAnonymised = value == "yes"
            case "replaces": options.replaces = replaces || value == "yes"
            case "program": options.program = value
            default: break
            }
        }
        return Recording(output: path, options: options, buffers: buffers)
    }

    /// The error for a trace that is not there because it was not finished; nil for others.
    static func unfinished(_ path: String) -> TraceError? {
        if access(path, F_OK) == 0 || access("\(parts(of: path))/\(noteName)", F_OK) != 0 {
            return nil
        }
        return TraceError(
            path: path,
            reason: .recording(
                "is a recording that goes on, or was not finished",
                remedy: "finish it with: iotrap trace finish \(path)"))
    }

    /// Gives a trace that was made among the parts its name.
    func place(_ assembled: String) throws(TraceError) {
        // A link is never made over something, so that nothing is lost that came meanwhile.
        if !options.replaces && link(assembled, output) == 0 { return }
        let code = options.replaces ? EPERM : errno
        var status = stat()
        let isThere = lstat(output, &status) == 0
        if isThere && status.st_mode & S_IFMT != S_IFREG {
            throw TraceError(path: output, reason: .notRegular)
        }
        if isThere && !options.replaces { throw TraceError(path: output, reason: .exists) }
        // File systems without links.
        if code != EPERM && code != EOPNOTSUPP {
            throw TraceError(path: output, reason: .system(call: "link", errno: code))
        }
        if rename(assembled, output) != 0 {
            throw TraceError(path: output, reason: .system(call: "rename", errno: errno))
        }
    }

    /// Ends the recording in all processes that are still there.
    func end() {
        guard let control = map() else { return }
        control.pointee.ended = 1
        unmap(control)
    }

    /// Removes both directories with what a recording has in them.
    public func remove() {
        for directory in [buffers, parts] where !directory.isEmpty {
            for name in Self.names(in: directory) { unlink("\(directory)/\(name)") }
            rmdir(directory)
        }
    }

    // MARK: - The control file

    /// What the processes have said by the way.
    struct Counts {
        var startedNanoseconds: UInt64 = 0
        var startedRealtimeNanoseconds: UInt64 = 0
        var dropped = [UInt64](repeating: 0, count: Int(IOTRAP_DROP_COUNT.rawValue))
    }

    /// Nil when the memory is gone: the machine was started anew since.
    func counts() -> Counts? {
        guard let control = map() else { return nil }
        defer { unmap(control) }
        var counts = Counts()
        counts.startedNanoseconds = control.pointee.started_ns
        counts.startedRealtimeNanoseconds = control.pointee.started_realtime_ns
        for reason in 0..<IOTRAP_DROP_COUNT.rawValue {
            counts.dropped[Int(reason)] = iotrap_control_dropped(control, reason).pointee
        }
        return counts
    }

    private typealias Control = UnsafeMutablePointer<iotrap_recording_control>
    private static let controlBytes = MemoryLayout<iotrap_recording_control>.size

    private func map() -> Control? {
        let descriptor = open("\(buffers)/control", O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        if descriptor < 0 { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size >= off_t(Self.controlBytes),
            let page = mmap(
                nil, Self.controlBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
            page != MAP_FAILED
        else { return nil }
        let control = page.assumingMemoryBound(to: iotrap_recording_control.self)
        guard control.pointee.magic == IOTRAP_RECORDING_CONTROL_MAGIC else {
            unmap(control)
            return nil
        }
        return control
    }

    private func unmap(_ control: Control) {
        munmap(control, Self.controlBytes)
    }

    private func writeControl() throws(TraceError) {
        let page = UnsafeMutableRawPointer.allocate(byteCount: Self.controlBytes, alignment: 16)
        defer { page.deallocate() }
        memset(page, 0, Self.controlBytes)
        let control = page.assumingMemoryBound(to: iotrap_recording_control.self)
        control.pointee.magic = IOTRAP_RECORDING_CONTROL_MAGIC
        control.pointee.version = IOTRAP_RECORDING_VERSION
        control.pointee.control_bytes = UInt32(Self.controlBytes)
        control.pointee.started_ns = Self.clock(CLOCK_MONOTONIC)
        control.pointee.started_realtime_ns = Self.clock(CLOCK_REALTIME)
        control.pointee.bytes_max = options.bytesMax
        let filters = Array(options.filters.map { $0 + [0] }.joined())
        if filters.count > Int(IOTRAP_RECORDING_FILTER_BYTES) {
            throw TraceError(
                path: output,
                reason: .recording(
                    "the filters have more than \(IOTRAP_RECORDING_FILTER_BYTES) bytes",
                    remedy: "give fewer patterns"))
        }
        control.pointee.filter_bytes = UInt32(filters.count)
        copy(filters, to: iotrap_control_filters(control))
        copy(Array(parts.utf8), to: iotrap_control_parts(control))
        try Self.write(
            UnsafeRawBufferPointer(start: page, count: Self.controlBytes), to: "\(buffers)/control")
    }

    private func copy(_ bytes: [UInt8], to place: UnsafeMutablePointer<CChar>) {
        for (index, byte) in bytes.enumerated() { place[index] = CChar(bitPattern: byte) }
    }

    private func writeNote() throws(TraceError) {
        let lines = [
            "buffers=\(buffers)", "anonymised=\(options.isAnonymised ? "yes" : "no")",
            "replaces=\(options.replaces ? "yes" : "no")",
            "program=\(options.program.replacing("\n", with: " "))",
        ]
        let bytes = Array((lines.joined(separator: "\n") + "\n").utf8)
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try Self.write(UnsafeRawBufferPointer(copy), to: "\(parts)/\(Self.noteName)")
    }

    // MARK: - Files

    private static func clock(_ id: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(id, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Names in a directory, sorted.
    static func names(in directory: String) -> [String] {
        guard let list = opendir(directory) else { return [] }
        defer { closedir(list) }
        var names: [String] = []
        while let entry = readdir(list) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func write(
        _ bytes: UnsafeRawBufferPointer, to path: String
    ) throws(TraceError) {
        var file = try OutputFile(path: path)
        try file.write(bytes)
        try file.finish()
    }

    private static func read(_ path: String) throws(TraceError) -> String {
        let file = try InputFile(path: path)
        var buffer = GrowingBuffer()
        let count = try file.read(buffer.space(16384), at: 0)
        return String(decoding: buffer.bytes(count), as: UTF8.self)
    }

    /// The path with an absolute directory that has no links.
    private static func absolute(_ path: String) throws(TraceError) -> String {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { String(path[...$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard let resolved = realpath(directory, nil) else {
            throw TraceError(path: path, reason: .system(call: "open", errno: errno))
        }
        defer { free(resolved) }
        let parent = String(cString: resolved)
        if name.isEmpty { throw TraceError(path: path, reason: .notRegular) }
        return parent == "/" ? "/" + name : parent + "/" + name
    }

    /// A private directory on a memory file system.
    private static func makeBuffers() throws(TraceError) -> String {
        let places = ["/dev/shm"] + (getenv("XDG_RUNTIME_DIR").map { [String(cString: $0)] } ?? [])
        for place in places {
            guard iotrap_is_in_memory(place) != 0 else { continue }
            var template = Array("\(place)/iotrap-record-XXXXXX".utf8CString)
            if template.count < 200, mkdtemp(&template) != nil {
                let bytes = template.dropLast().map { UInt8(bitPattern: $0) }
                return String(decoding: bytes, as: UTF8.self)
            }
        }
        throw TraceError(
            path: places[0],
            reason: .recording(
                "is no memory file system that this user can write to",
                remedy: "mount it: mount -t tmpfs tmpfs /dev/shm"))
    }
}
