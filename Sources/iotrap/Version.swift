/// The release. A test compares it with the file VERSION.
enum Version {
    static let text = "0.1.0"
}
