"""Child processes: launched, captured, found as trees and killed."""
