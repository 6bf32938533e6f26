/// A JSON value that prints itself; members keep their order.
package indirect enum JSON {
    case null
    case boolean(Bool)
    case unsigned(UInt64)
    /// A finite number.
    case number(Double)
    case string(String)
    case array([JSON])
    /// Whole numbers on one line.
    case row([UInt64])
    case object([(String, JSON)])

    /// A number or null.
    package static func optional(_ value: UInt64?) -> JSON {
        if let value { return .unsigned(value) }
        return .null
    }

    /// The value as text, indented by two spaces a level.
    package func text(indent: Int = 0) -> String {
        switch self {
        case .null: return "null"
        case .boolean(let value): return value ? "true" : "false"
        case .unsigned(let value): return String(value)
        case .number(let value): return value.isFinite ? "\(value)" : "null"
        case .string(let value): return Self.quoted(value)
        case .array(let values):
            return Self.block("[", values.map { $0.text(indent: indent + 2) }, "]", indent)
        case .row(let values): return "[" + values.map(String.init).joined(separator: ", ") + "]"
        case .object(let members):
            let lines = members.map { name, value in
                Self.quoted(name) + ": " + value.text(indent: indent + 2)
            }
            return Self.block("{", lines, "}", indent)
        }
    }

    private static func block(
        _ open: String, _ items: [String], _ close: String, _ indent: Int
    ) -> String {
        if items.isEmpty { return open + close }
        let margin = String(repeating: " ", count: indent)
        var text = open + "\n"
        for (index, item) in items.enumerated() {
            text += margin + "  " + item + (index == items.count - 1 ? "\n" : ",\n")
        }
        return text + margin + close
    }

    /// A string in quotes.
    package static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                let hex = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
