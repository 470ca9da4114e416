<?php

// Promises: what came back from the relay, as one value: an answer, a refusal, or nothing usable.
// Leans on: the contract that a refusal is JSON with "error" and a temporary failure is not JSON.
// Must never: carry request fields, for it may end up on a screen.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

final class RelayAnswer
{
    /** @param array<mixed>|null $json */
    public function __construct(
        public readonly int $status,
        private readonly ?array $json,
        public readonly string $transportError = '',
        public readonly float $seconds = 0.0,
    ) {
    }

    /** Whether the relay was reached and understood. */
    public function arrived(): bool
    {
        return $this->json !== null;
    }

    public function succeeded(): bool
    {
        return $this->json !== null && empty($this->json['error']) && !empty($this->json['result']);
    }

    /** @return array<mixed> the "result", empty when there is none or it is a bare value */
    public function result(): array
    {
        $result = $this->json['result'] ?? null;
        return is_array($result) ? $result : [];
    }

    /** @return array<mixed> the whole document, for calls that answer at the top level */
    public function document(): array
    {
        return $this->json ?? [];
    }

    /** The relay's error code, bounded and printable; empty when there was none. */
    public function error(): string
    {
        $error = $this->json['error'] ?? '';
        return is_string($error) ? self::printable($error, 100) : 'unknown';
    }

    public function description(): string
    {
        $text = $this->json['error_description'] ?? '';
        return is_string($text) ? self::printable($text, 300) : '';
    }

    /** One plain phrase for a log or a page. */
    public function trouble(): string
    {
        if ($this->json === null) {
            return $this->transportError !== ''
                ? self::printable($this->transportError, 300)
                : 'HTTP ' . $this->status . ' without JSON';
        }
        return trim($this->error() . ': ' . $this->description(), ': ');
    }

    private static function printable(string $text, int $most): string
    {
        return mb_substr((string)preg_replace('/[^\P{C} ]+/u', ' ', mb_scrub($text, 'UTF-8')), 0, $most, 'UTF-8');
    }
}
