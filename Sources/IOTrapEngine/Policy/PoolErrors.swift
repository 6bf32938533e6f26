/// What can be wrong with mount pools, or with the file that configures them.
public enum PoolFault: Equatable, Sendable {
    // pools
    case noName
    case badName
    case longName
    case duplicatePool
    case tooManyPools

    // paths
    case noPath
    case relativePath
    case climbingPath
    case rootPath
    case longPath
    case unquotedCharacter
    case zeroByte
    case samePath
    case sharedPath
    case nestedPath
    case tooManyPathsOfPool
    case tooManyPaths

    // options
    case unknownOption
    case missingValue
    case badYesNo
    case badWeights
    case weightCount
    case badChunk
    case badPrimary
    case badBulk
    case badHedge
    case badAnswer
    case badProtect

    // text
    case unterminatedQuote
    case unknownSection
    case noSection
    /// A key or a value of the section iotrap.
    case setting(ConfigurationFault)

    // the file itself
    case relativeFile
    case missingFile
    case longFile
    case irregularFile
    case unreadableFile
    case noMemory
}

/// Mount pools that were refused: what is wrong, and where in the text it stands.
public struct PoolError: Error, Equatable, Sendable {
    /// What is wrong.
    public var fault: PoolFault
    /// Byte offset of the offending item in the text that was parsed.
    public var start: Int
    /// Its length in bytes.
    public var count: Int
    /// Its line in a file, from 1; 0 when the text is no file.
    public var line: Int

    /// An error at a place of a text.
    public init(_ fault: PoolFault, start: Int = 0, count: Int = 0, line: Int = 0) {
        self.fault = fault
        self.start = start
        self.count = count
        self.line = line
    }

    /// True when the file could not be had: there is no item then.
    public var isAboutFile: Bool {
        switch fault {
        case .relativeFile, .missingFile, .longFile, .irregularFile, .unreadableFile, .noMemory:
            true
        default: false
        }
    }

    /// What is wrong with the item, as the end of a sentence that begins with it.
    public var reason: StaticString {
        switch fault {
        case .noName: "has no name of a pool"
        case .badName: "is no name for a pool"
        case .longName: "is too long for the name of a pool"
        case .duplicatePool: "names a pool a second time"
        case .tooManyPools: "is one pool too many"
        case .unknownOption: "is no option of a pool"
        case .missingValue: "has no value"
        case .badYesNo, .badWeights, .badChunk, .badPrimary, .badBulk, .badHedge, .badAnswer,
            .badProtect:
            "is a wrong value"
        case .weightCount: "has not one weight for each path"
        case .unterminatedQuote: "has a quote or an escape that does not end"
        case .unknownSection: "is no section"
        case .noSection: "stands before any section"
        case .setting(let fault): Self.reason(fault)
        default: pathReason
        }
    }

    private var pathReason: StaticString {
        switch fault {
        case .noPath: "has no path"
        case .relativePath: "is no absolute path"
        case .climbingPath: "has '..' in it"
        case .rootPath: "is the root directory"
        case .longPath: "is too long for a path"
        case .unquotedCharacter: "has a blank or a colon in it"
        case .zeroByte: "has a zero byte in it"
        case .samePath: "is in its pool already"
        case .sharedPath: "is in another pool already"
        case .nestedPath: "is inside another path, or holds one"
        case .tooManyPathsOfPool: "is one path too many for a pool"
        case .tooManyPaths: "is one path too many"
        case .relativeFile: "is no absolute path"
        case .missingFile: "does not exist"
        case .longFile: "is too long"
        case .irregularFile: "is no regular file"
        case .unreadableFile: "cannot be read"
        default: "finds no memory"
        }
    }

    private static func reason(_ fault: ConfigurationFault) -> StaticString {
        switch fault {
        case .unknownMode: "is no mode"
        case .unknownKey: "is no setting"
        case .missingValue: "has no value"
        case .badSwitch, .badSize, .badNumber, .badChoice, .badFault: "is a wrong value"
        }
    }

    /// What would have been valid, as one line for a person.
    public var remedy: StaticString {
        switch fault {
        case .noName: "write it as NAME:/PATH,/PATH"
        case .badName: "use letters, digits, '-', '_' and '.'"
        case .longName: "use at most 31 bytes"
        case .duplicatePool: "give each pool a name of its own"
        case .tooManyPools: "use at most 16"
        case .unknownOption:
            """
            valid options: coherent, same, weights, chunk, primary, bulk, hedge, answer-within, \
            protect
            """
        case .missingValue: "write it as key=value"
        case .badYesNo: "valid values: yes, no"
        case .badWeights: "numbers from 1 to 1000000 and colons: weights=1:1:2:4"
        case .weightCount: "give one number a path: weights=1:1:2:4"
        case .badChunk: "a multiple of 4096 from 64K to 16M, for example 512K"
        case .badPrimary: "the number of one of its paths, from 1, or the path itself"
        case .badBulk: "valid values: all, off-primary"
        case .badHedge: "off, or a percentile from 50 to 99.9"
        case .badAnswer: "off, or a time from 1ms to 3600 seconds: 2, 500ms"
        case .badProtect: "valid values: on, off, auto"
        case .unterminatedQuote: "close it, or write a backslash before the quote"
        case .unknownSection: "valid sections: [iotrap], [pool NAME]"
        case .noSection: "put it below [iotrap] or [pool NAME]"
        case .setting(let fault):
            ConfigurationError(fault: fault, start: start, count: count).remedy
        default: pathRemedy
        }
    }

    private var pathRemedy: StaticString {
        switch fault {
        case .noPath: "name the mounts: NAME:/PATH,/PATH"
        case .relativePath: "begin it with a slash"
        case .climbingPath: "write where it leads to"
        case .rootPath: "name a mount below it"
        case .longPath: "use at most 511 bytes"
        case .unquotedCharacter: "separate paths by commas, or quote it: \"/PATH WITH BLANK\""
        case .zeroByte: "take it out"
        case .samePath: "name each mount once"
        case .sharedPath: "name it in one of them"
        case .nestedPath: "no mount of a pool may hold another one"
        case .tooManyPathsOfPool: "use at most 64"
        case .tooManyPaths: "use at most 128 in all pools"
        case .relativeFile: "begin it with a slash"
        case .missingFile: "correct the name, or leave it out"
        case .longFile: "use at most 64 KiB"
        case .irregularFile: "name a file with settings"
        case .unreadableFile: "check its permissions"
        default: "raise the limits of memory"
        }
    }
}
