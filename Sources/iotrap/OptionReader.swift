import Glibc

/// Reads the options of one subcommand from left to right.
struct OptionReader {
    private var arguments: ArraySlice<ByteString>
    private let command: String
    private let valid: String

    /// - Parameters:
    ///   - valid: the valid options, for messages.
    init(_ arguments: [ByteString], command: String, valid: String) {
        self.arguments = arguments[...]
        self.command = command
        self.valid = valid
    }

    /// What has not been read yet.
    var rest: [ByteString] { Array(arguments) }

    /// The next option with what follows its "=", nil when none is next. Takes "--" away, which
    /// ends the options.
    mutating func next() -> (name: String, value: ByteString?)? {
        guard let argument = arguments.first, argument.bytes.first == UInt8(ascii: "-"),
            argument.bytes.count > 1
        else { return nil }
        arguments.removeFirst()
        if argument.text == "--" { return nil }
        if let (name, value) = argument.split(at: "=") { return (name.text, value) }
        return (argument.text, nil)
    }

    /// The next argument that is no option, nil at the end.
    mutating func nextOperand() -> ByteString? { arguments.popFirst() }

    /// Reads all arguments, options before and behind operands.
    ///
    /// - Parameters:
    ///   - help: what --help prints.
    ///   - take: gets each other option.
    /// - Returns: the operands; nil when help was printed.
    mutating func operands(
        help: String,
        _ take: (String, ByteString?, inout OptionReader) throws(CommandFailure) -> Void
    ) throws(CommandFailure) -> [String]? {
        var operands: [String] = []
        while !arguments.isEmpty {
            if let (name, value) = next() {
                if name == "--help" || name == "-h" {
                    Diagnostics.write(help, to: STDOUT_FILENO)
                    return nil
                }
                try take(name, value, &self)
            } else if let operand = nextOperand() {
                operands.append(operand.text)
            }
        }
        return operands
    }

    /// The value of an option: behind its "=", or the next argument.
    mutating func value(of name: String, _ attached: ByteString?) throws(CommandFailure)
        -> ByteString
    {
        if let attached { return attached }
        guard let next = arguments.popFirst() else { throw .usage("\(name) has no value") }
        return next
    }

    /// A value that is a whole number from a range.
    mutating func number(
        of name: String, _ attached: ByteString?, in range: ClosedRange<Int>
    ) throws(CommandFailure) -> Int {
        let text = try value(of: name, attached).text
        guard let value = Int(text), range.contains(value) else {
            throw .usage(
                "wrong value '\(text)' of \(name); write a number from \(range.lowerBound) to "
                    + "\(range.upperBound)")
        }
        return value
    }

    /// The error for an option that the subcommand does not have.
    func unknown(_ name: String) -> CommandFailure {
        .usage("unknown option '\(name)' of iotrap \(command); valid options: \(valid)")
    }

    /// Throws when an option that takes no value got one.
    func refuseValue(of name: String, _ attached: ByteString?) throws(CommandFailure) {
        if let attached { throw .usage("\(name) takes no value, not '\(attached.text)'") }
    }
}
