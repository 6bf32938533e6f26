import Glibc

/// A subcommand that runs under the library: this process starts itself again, preloaded, as
/// `iotrap run` would start any program.
struct PreloadedRun {
    private var settings = Settings()
    private var isWanted = false

    /// Says that the process was started again, so that it does not do so for ever.
    private static let variable = "IOTRAP_REPLAY_PRELOADED"

    /// Whether this process runs under the library.
    static var isUnderIotrap: Bool { getenv(variable) != nil }

    /// Reads an option that is about the library; false if it is not.
    mutating func read(
        _ name: String, _ attached: ByteString?, _ reader: inout OptionReader
    ) throws(CommandFailure) -> Bool {
        switch name {
        case "--iotrap":
            try reader.refuseValue(of: name, attached)
        case "--mode": settings.mode = try reader.value(of: name, attached)
        case "--set": settings.items.append(try reader.value(of: name, attached))
        case "--pool": settings.poolItems.append(try reader.value(of: name, attached))
        default: return false
        }
        isWanted = true
        return true
    }

    /// Becomes the same command under the library, if that is wanted and not so already.
    func startAgain(
        with arguments: [ByteString], command: String
    ) throws(CommandFailure) {
        if !isWanted || Self.isUnderIotrap { return }
        let launch = try launch(arguments: [ByteString(command)] + arguments)
        try launch.replaceThisProcess()
    }

    /// This command with other arguments, under the library.
    func launch(arguments: [ByteString]) throws(CommandFailure) -> Launch {
        var copy = settings
        var environment = Environment.ofProcess()
        try copy.apply(to: &environment)
        let library = try Library.find()
        environment.set("LD_PRELOAD", library.preload(before: environment["LD_PRELOAD"]))
        environment.set(Self.variable, "1")
        return Launch(
            path: "/proc/self/exe", arguments: ["iotrap"] + arguments, environment: environment)
    }
}
