<?php

// Promises: reads the form body of a rest.event.call into its items, and can write it again without some.
// Leans on: the PHP bracket form; parse_str will not do, for max_input_vars cuts it short.
// Must never: read more pairs or deeper keys than its bounds.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

final class FormBody
{
    private const MAX_PAIRS = 100000;
    private const MAX_DEPTH = 32;

    /** @param list<array{0: string, 1: list<string>, 2: string}> $pairs raw pair, key path, value */
    private function __construct(private readonly array $pairs)
    {
    }

    /** @return self|null null when the body is beyond the bounds */
    public static function read(string $body): ?self
    {
        if (substr_count($body, '&') >= self::MAX_PAIRS) {
            return null;
        }
        $pairs = [];
        foreach (explode('&', $body) as $pair) {
            [$key, $value] = explode('=', $pair, 2) + [1 => ''];
            $path = self::path(urldecode($key));
            if (count($path) > self::MAX_DEPTH) {
                return null;
            }
            if ($pair !== '') {
                $pairs[] = [$pair, $path, urldecode($value)];
            }
        }
        return new self($pairs);
    }

    /** @return array<string, array<mixed>> the items of QUERY by their index */
    public function items(): array
    {
        $items = [];
        foreach ($this->pairs as [, $path, $value]) {
            if ($path[0] === 'QUERY' && count($path) > 2) {
                $items['i' . $path[1]] ??= [];
                self::put($items['i' . $path[1]], array_slice($path, 2), $value);
            }
        }
        return $items;
    }

    /** @param list<string> $names keys of items() to leave out */
    public function without(array $names): string
    {
        $kept = array_filter(
            $this->pairs,
            static fn (array $pair): bool => $pair[1][0] !== 'QUERY'
                || !in_array('i' . ($pair[1][1] ?? ''), $names, true)
        );
        return implode('&', array_column($kept, 0));
    }

    /** @return list<string> */
    private static function path(string $key): array
    {
        $open = strpos($key, '[');
        if ($open === false || !str_ends_with($key, ']')) {
            return [$key];
        }
        return array_merge([substr($key, 0, $open)], explode('][', substr($key, $open + 1, -1)));
    }

    /**
     * @param array<mixed> $into
     * @param list<string> $path
     */
    private static function put(array &$into, array $path, string $value): void
    {
        $place = &$into;
        foreach ($path as $step) {
            if (!is_array($place)) {
                $place = [];
            }
            $place = &$place[$step];
        }
        $place = $value;
    }
}
