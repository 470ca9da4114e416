<?php

// Promises: decodes JSON or throws.
// Leans on: json_decode.
// Must never: return false for nonsense.

declare(strict_types=1);


namespace Bitrix\Main\Web;

use Bitrix\Main\ArgumentException;

class Json
{
    public static function decode($data)
    {
        $value = json_decode((string)$data, true);
        if ($value === null && json_last_error() !== JSON_ERROR_NONE) {
            throw new ArgumentException('JSON decoding error');
        }
        return $value;
    }
}
