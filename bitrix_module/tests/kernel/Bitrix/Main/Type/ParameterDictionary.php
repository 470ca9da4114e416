<?php

// Promises: posted values.
// Leans on: nothing.
// Must never: change them.

declare(strict_types=1);


namespace Bitrix\Main\Type;

class ParameterDictionary
{
    /** @param array<mixed> $values */
    public function __construct(private readonly array $values)
    {
    }

    public function toArray()
    {
        return $this->values;
    }
}
