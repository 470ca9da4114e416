<?php

// Promises: what a local look at a token can come to.
// Leans on: nothing.
// Must never: say Good when anything was left unchecked.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

enum Verdict
{
    /** Sealed by the relay, alive, not revoked. */
    case Good;
    /** Sealed by the relay and past its time. */
    case Expired;
    /** Sealed by the relay and withdrawn, or of an app that is gone or switched off. */
    case Revoked;
    /** A listed key, but not its seal. */
    case Forged;
    /** No key that would decide: a token of the cloud, of a newer key, or of nobody. */
    case NoKey;
    /** Good as far as it goes, but more parameters are kept at the relay. */
    case Incomplete;
}
